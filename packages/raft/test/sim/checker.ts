import type { Entry, RawNode as RawNodeType } from "../../src/index.ts";
import { RawNode } from "../../src/index.ts";
import { fnv } from "./state-machine.ts";

export class SafetyViolation extends Error {}

interface Chosen {
  readonly term: number;
  readonly content: number;
  /** The state machine's hash after it. */
  readonly state: number;
  /** The lowest term in which a node is known to have applied it: it was committed by then. */
  readonly appliedInTerm: number;
}

/** Watches all nodes from outside for what must never happen (paper, figure 3). */
export class Checker {
  readonly #leaders = new Map<number, bigint>();
  readonly #chosen = new Map<number, Chosen>();
  /** `index/term` to what precedes it and what it holds: unique if logs match. */
  readonly #entries = new Map<string, string>();
  readonly #reads = new Map<string, number>();
  /** The highest index that any node ever held committed. */
  committed = 0;
  #chosenMax = 0;

  /** Election safety and leader completeness. After anything that happened to a node. */
  node(id: bigint, node: RawNodeType): void {
    const r = RawNode.raftOf(node);
    this.committed = Math.max(this.committed, r.log.committed);
    if (r.state !== "StateLeader") return;
    const known = this.#leaders.get(r.term);
    if (known === undefined) {
      this.#leaders.set(r.term, id);
      this.#complete(id, node);
    } else if (known !== id) {
      throw new SafetyViolation(`two leaders in term ${r.term}: ${known} and ${id}`);
    }
  }

  #complete(id: bigint, node: RawNodeType): void {
    const r = RawNode.raftOf(node);
    for (let i = r.log.firstIndex(); i <= this.#chosenMax; i++) {
      const c = this.#chosen.get(i);
      if (c !== undefined && c.appliedInTerm < r.term && !r.log.matches(i, c.term)) {
        throw new SafetyViolation(`leader ${id} of term ${r.term} lacks committed entry ${c.term}/${i}`);
      }
    }
  }

  /** Log matching. For entries that a node stores, the first one following a term that it has. */
  stored(id: bigint, entries: readonly Entry[], termBefore: number | string): void {
    let before = termBefore;
    for (const e of entries) {
      if (typeof before === "number") {
        const key = `${e.index}/${e.term}`;
        const value = `${before} ${e.type} ${fnv(0, e.data)}`;
        const known = this.#entries.get(key);
        if (known === undefined) this.#entries.set(key, value);
        else if (known !== value)
          throw new SafetyViolation(`logs do not match at ${key} on ${id}: ${known} or ${value}`);
      }
      before = e.term;
    }
  }

  /** State machine safety: everyone applies the same, and what was committed is never lost. */
  applied(id: bigint, term: number, e: Entry, state: number): void {
    const content = fnv(0, e.data);
    const known = this.#chosen.get(e.index);
    if (known === undefined) {
      this.#chosen.set(e.index, { term: e.term, content, state, appliedInTerm: term });
      this.#chosenMax = Math.max(this.#chosenMax, e.index);
      return;
    }
    if (known.term !== e.term || known.content !== content || known.state !== state) {
      throw new SafetyViolation(`${id} applied ${e.term}/${e.index}, where another applied term ${known.term}`);
    }
    if (term < known.appliedInTerm) this.#chosen.set(e.index, { ...known, appliedInTerm: term });
  }

  /** A snapshot replaces applied entries, so it must hold the same state. */
  restored(id: bigint, index: number, state: number): void {
    const known = this.#chosen.get(index);
    if (known !== undefined && known.state !== state) {
      throw new SafetyViolation(`${id} restored another state at index ${index}`);
    }
  }

  readStarted(context: string): void {
    this.#reads.set(context, this.committed);
  }

  /** Linearizability: a read sees everything that was committed before it was asked for. */
  readAnswered(id: bigint, context: string, index: number): void {
    const least = this.#reads.get(context);
    if (least !== undefined && index < least) {
      throw new SafetyViolation(`read ${context} on ${id} got index ${index}, but ${least} was committed before`);
    }
  }
}
