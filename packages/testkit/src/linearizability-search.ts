import type { Operation } from "./history.ts";
import type { Model } from "./linearizability.ts";
import { PlacedSet } from "./placed-set.ts";

/** What the search found. `prefix` is the longest order found, `state` the state after it. */
export interface SearchResult<State, In, Out> {
  readonly verdict: "ok" | "violation" | "unknown";
  readonly prefix: readonly Operation<In, Out>[];
  readonly state: State;
  /** The operation whose return could not be passed after the prefix. */
  readonly stuckAt: Operation<In, Out> | undefined;
  /** What was running then and could have come next. */
  readonly candidates: readonly Operation<In, Out>[];
}

/** A call or a return of an operation of known outcome, in the doubly linked list of what is still to be placed. */
interface Entry<In, Out> {
  readonly op: Operation<In, Out> | undefined;
  /** Of a call: the entry of its return. */
  readonly match: Entry<In, Out> | undefined;
  /** Of a call: its number among the operations of known outcome. */
  readonly number: number;
  previous: Entry<In, Out> | undefined;
  next: Entry<In, Out> | undefined;
}

type Candidate<In, Out> =
  | { readonly kind: "known"; readonly entry: Entry<In, Out>; readonly op: Operation<In, Out> }
  | { readonly kind: "unknown"; readonly index: number; readonly op: Operation<In, Out> };

/** A point of the search: a state, and how far the candidates for the next place have been tried. */
interface Frame<State, In, Out> {
  readonly state: State;
  /** What was placed last to get here. */
  readonly placed: Candidate<In, Out> | undefined;
  /** The first return in the list: all that was called before it may come next. */
  readonly firstReturn: Entry<In, Out> | undefined;
  knownNext: Entry<In, Out> | undefined;
  unknownNext: number;
}

/** Searches for an order of `operations`, which are in the order of their calls. */
export function search<State, In, Out>(
  operations: readonly Operation<In, Out>[],
  model: Model<State, In, Out>,
  stepsMax: number,
): SearchResult<State, In, Out> {
  return new Search(operations, model).run(stepsMax);
}

class Search<State, In, Out> {
  readonly #model: Model<State, In, Out>;
  readonly #head: Entry<In, Out>;
  /** Operations of unknown outcome. They are tried last: most of them need not have happened. */
  readonly #unknown: readonly Operation<In, Out>[];
  readonly #placed: PlacedSet;
  readonly #seen = new Set<string>();
  readonly #stack: Frame<State, In, Out>[] = [];
  #best: Omit<SearchResult<State, In, Out>, "verdict"> | undefined;

  constructor(operations: readonly Operation<In, Out>[], model: Model<State, In, Out>) {
    const known = operations.filter((op) => op.return !== undefined);
    this.#model = model;
    this.#head = buildList(known);
    this.#unknown = operations.filter((op) => op.return === undefined);
    this.#placed = new PlacedSet(known.length);
  }

  run(stepsMax: number): SearchResult<State, In, Out> {
    this.#stack.push(this.#frame(this.#model.init(), undefined));
    for (let steps = 0; this.#placed.knownLeft > 0; ) {
      const frame = this.#stack.at(-1);
      if (frame === undefined) return { verdict: "violation", ...this.#bestOr(this.#model.init()) };
      const candidate = this.#nextCandidate(frame);
      if (candidate === undefined) {
        this.#backtrack(frame);
        continue;
      }
      if (++steps > stepsMax) return { verdict: "unknown", ...this.#bestOr(frame.state) };
      const after = this.#model.step(frame.state, candidate.op.input, candidate.op.output);
      if (after !== undefined) this.#place(candidate, after);
    }
    return {
      verdict: "ok",
      prefix: this.#order(),
      state: this.#stack.at(-1)?.state as State,
      stuckAt: undefined,
      candidates: [],
    };
  }

  #frame(state: State, placed: Candidate<In, Out> | undefined): Frame<State, In, Out> {
    let firstReturn = this.#head.next;
    while (firstReturn?.match !== undefined) firstReturn = firstReturn.next;
    return { state, placed, firstReturn, knownNext: this.#head.next, unknownNext: 0 };
  }

  #nextCandidate(frame: Frame<State, In, Out>): Candidate<In, Out> | undefined {
    const entry = frame.knownNext;
    if (entry?.match !== undefined) {
      frame.knownNext = entry.next;
      return { kind: "known", entry, op: entry.op as Operation<In, Out> };
    }
    const before = frame.firstReturn?.op?.return ?? 0;
    while (frame.unknownNext < this.#unknown.length) {
      const index = frame.unknownNext++;
      const op = this.#unknown[index] as Operation<In, Out>;
      if (op.call > before) break;
      if (!this.#placed.hasUnknown(index)) return { kind: "unknown", index, op };
    }
    return undefined;
  }

  /** Goes on from `after`, unless the search was in an equal place before or can see that it leads nowhere. */
  #place(candidate: Candidate<In, Out>, after: State): void {
    if (candidate.kind === "known") {
      this.#placed.addKnown(candidate.entry.number);
      lift(candidate.entry);
    } else this.#placed.addUnknown(candidate.index);
    const frame = this.#frame(after, candidate);
    const next = frame.firstReturn?.op;
    const isHopeless =
      next !== undefined && this.#model.canStillAnswer?.(after, next.input, next.output as Out) === false;
    const key = `${this.#placed.key()} ${this.#model.stateKey(after)}`;
    if (isHopeless || this.#seen.has(key)) return this.#unplace(candidate);
    this.#seen.add(key);
    this.#stack.push(frame);
  }

  #backtrack(frame: Frame<State, In, Out>): void {
    if (this.#best === undefined || this.#stack.length - 1 > this.#best.prefix.length) {
      this.#best = {
        prefix: this.#order(),
        state: frame.state,
        stuckAt: frame.firstReturn?.op,
        candidates: this.#candidates(),
      };
    }
    this.#stack.pop();
    if (frame.placed !== undefined) this.#unplace(frame.placed);
  }

  #unplace(candidate: Candidate<In, Out>): void {
    if (candidate.kind === "known") {
      unlift(candidate.entry);
      this.#placed.removeKnown(candidate.entry.number);
    } else this.#placed.removeUnknown(candidate.index);
  }

  #order(): Operation<In, Out>[] {
    return this.#stack.flatMap((frame) => frame.placed?.op ?? []);
  }

  /** All that may come next, for the explanation. */
  #candidates(): Operation<In, Out>[] {
    const frame = this.#frame(this.#model.init(), undefined);
    const out: Operation<In, Out>[] = [];
    for (let c = this.#nextCandidate(frame); c !== undefined; c = this.#nextCandidate(frame)) out.push(c.op);
    return out;
  }

  #bestOr(state: State): Omit<SearchResult<State, In, Out>, "verdict"> {
    return this.#best ?? { prefix: [], state, stuckAt: undefined, candidates: this.#candidates() };
  }
}

function buildList<In, Out>(operations: readonly Operation<In, Out>[]): Entry<In, Out> {
  const events: { at: number; entry: Entry<In, Out> }[] = [];
  const links = { previous: undefined, next: undefined };
  for (const [number, op] of operations.entries()) {
    const end: Entry<In, Out> = { op, match: undefined, number, ...links };
    events.push({ at: op.call, entry: { op, match: end, number, ...links } }, { at: op.return as number, entry: end });
  }
  const head: Entry<In, Out> = { op: undefined, match: undefined, number: -1, ...links };
  let last = head;
  for (const { entry } of events.toSorted((a, b) => a.at - b.at)) {
    last.next = entry;
    entry.previous = last;
    last = entry;
  }
  return head;
}

/** Takes a call and its return out of the list. */
function lift(call: Entry<unknown, unknown>): void {
  for (const entry of [call, call.match]) {
    if (entry?.previous !== undefined) entry.previous.next = entry.next;
    if (entry?.next !== undefined) entry.next.previous = entry.previous;
  }
}

/** Undoes {@link lift}, in the opposite order. */
function unlift(call: Entry<unknown, unknown>): void {
  for (const entry of [call.match, call]) {
    if (entry?.previous !== undefined) entry.previous.next = entry;
    if (entry?.next !== undefined) entry.next.previous = entry;
  }
}
