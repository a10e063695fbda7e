import type { Operation } from "./history.ts";
import type { KvInput, KvOutput, KvPair } from "./kv-model.ts";

/** Revisions after `from` up to and including `to`. */
type Span = readonly [from: number, to: number];

/**
 * What the answers of a whole history tell about its writes. Each is true of every order that could be right, so a search may use
 * them at once instead of finding them out, with many operations of unknown outcome, one wrong guess after another.
 */
export class KvFacts {
  /** Pairs that were seen, by key and the revision that wrote them. */
  readonly #pairs = new Map<string, KvPair>();
  /** Per key, spans of revisions `(from, to]` in which nothing wrote it. */
  readonly #quiet = new Map<string, Span[]>();
  /** As above, for operations of unknown outcome only: the versions before and after leave no room for another put. */
  readonly #full = new Map<string, Span[]>();
  /** Revisions that operations of known outcome made, with the keys they put. */
  readonly #taken = new Map<number, readonly string[]>();

  constructor(operations: readonly Operation<KvInput, KvOutput>[]) {
    for (const { input, output } of operations) {
      if (output === undefined) continue;
      if (output.revision !== undefined && madeRevision(input, output)) this.#take(input, output, output.revision);
      for (const kv of output.kvs ?? []) this.#see(kv, output.revision);
      // A read within a transaction comes before the writes behind it, which have the revision of the header.
      const before = output.revision === undefined ? undefined : output.revision - 1;
      for (const kv of (output.responses ?? []).flatMap((response) => response.kvs ?? [])) this.#see(kv, before);
    }
    for (const spans of this.#quiet.values()) spans.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
    for (const [key, pairs] of Map.groupBy(this.#pairs.values(), (kv) => kv.key))
      this.#full.set(key, this.#findFull(pairs));
  }

  /** The revision that wrote this value of a key, if an answer shows it. */
  revisionOf(key: string, value: string): number | undefined {
    return this.#pairs.values().find((kv) => kv.key === key && kv.value === value)?.modRevision;
  }

  /** Whether a write at `revision` may leave `pair` (undefined: nothing) under `key`. */
  allows(key: string, pair: KvPair | undefined, revision: number, isKnown: boolean): boolean {
    if (!isKnown && (this.#taken.has(revision) || isWithin(this.#full.get(key), revision))) return false;
    if (isWithin(this.#quiet.get(key), revision)) return false;
    const seen = this.#pairs.get(pairId(key, revision));
    if (seen === undefined) return true;
    return pair !== undefined && isSamePair(seen, pair);
  }

  #see(kv: KvPair, revision: number | undefined): void {
    this.#pairs.set(pairId(kv.key, kv.modRevision), kv);
    if (revision !== undefined && revision > kv.modRevision) {
      this.#quiet.getOrInsertComputed(kv.key, () => []).push([kv.modRevision, revision]);
    }
  }

  #take(input: KvInput, output: KvOutput, revision: number): void {
    const basics = input.type === "txn" ? (output.succeeded === true ? input.success : input.failure) : [input];
    this.#taken.set(
      revision,
      basics.flatMap((basic) => (basic.type === "put" ? [basic.key] : [])),
    );
  }

  /** Between two pairs of one generation lie as many puts as their versions say; where all are known, no other fits. */
  #findFull(pairs: readonly KvPair[]): Span[] {
    const spans: Span[] = [];
    const sorted = pairs.toSorted((a, b) => a.modRevision - b.modRevision);
    for (const [i, to] of sorted.entries()) {
      const from = sorted[i - 1];
      // The first pair of a generation is known to be its version 1, at its create revision.
      const start = from?.createRevision === to.createRevision ? from : { modRevision: to.createRevision, version: 1 };
      let missing = to.version - start.version - (to.modRevision > start.modRevision ? 1 : 0);
      for (let r = start.modRevision + 1; r < to.modRevision; r++) {
        if (this.#taken.get(r)?.includes(to.key) === true) missing--;
      }
      if (missing <= 0 && to.modRevision > start.modRevision) spans.push([start.modRevision, to.modRevision - 1]);
    }
    return spans;
  }
}

/** Whether a revision lies in one of the spans, which are in order of their starts. */
function isWithin(spans: readonly Span[] | undefined, revision: number): boolean {
  for (const [from, to] of spans ?? []) {
    if (from >= revision) return false;
    if (revision <= to) return true;
  }
  return false;
}

/** Equal in every field. */
export function isSamePair(a: KvPair, b: KvPair): boolean {
  return (
    a.key === b.key &&
    a.value === b.value &&
    a.modRevision === b.modRevision &&
    a.createRevision === b.createRevision &&
    a.version === b.version
  );
}

/** Whether the header's revision is surely that of the operation's own write. */
function madeRevision(input: KvInput, output: KvOutput): boolean {
  if (input.type === "put") return true;
  if (input.type === "delete") return (output.deleted ?? 0) > 0;
  if (input.type === "range" || output.succeeded === undefined) return false;
  return (output.succeeded ? input.success : input.failure).some((basic) => basic.type === "put");
}

function pairId(key: string, revision: number): string {
  return `${revision}@${key}`;
}
