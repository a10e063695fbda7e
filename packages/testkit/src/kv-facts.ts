import type { Operation } from "./history.ts";
import type { KvInput, KvOutput, KvPair } from "./kv-model.ts";

/**
 * What the answers of a whole history tell about its writes. Each is true of every order that could be right, so a search may use
 * them at once instead of finding them out, with many operations of unknown outcome, one wrong guess after another.
 */
export class KvFacts {
  /** Pairs that were seen, by key and the revision that wrote them. */
  readonly #pairs = new Map<string, KvPair>();
  /** Per key, spans of revisions `(from, to]` in which nothing wrote it. */
  readonly #quiet = new Map<string, [from: number, to: number][]>();
  /** Revisions that operations of known outcome made. */
  readonly #taken = new Set<number>();

  constructor(operations: readonly Operation<KvInput, KvOutput>[]) {
    for (const { input, output } of operations) {
      if (output === undefined) continue;
      if (output.revision !== undefined && madeRevision(input, output)) this.#taken.add(output.revision);
      for (const kv of output.kvs ?? []) this.#see(kv, output.revision);
      // A read within a transaction comes before the writes behind it, which have the revision of the header.
      const before = output.revision === undefined ? undefined : output.revision - 1;
      for (const kv of (output.responses ?? []).flatMap((response) => response.kvs ?? [])) this.#see(kv, before);
    }
    for (const spans of this.#quiet.values()) spans.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  }

  /** The revision that wrote this value of a key, if an answer shows it. */
  revisionOf(key: string, value: string): number | undefined {
    return this.#pairs.values().find((kv) => kv.key === key && kv.value === value)?.modRevision;
  }

  /** Whether a write at `revision` may leave `pair` (undefined: nothing) under `key`. */
  allows(key: string, pair: KvPair | undefined, revision: number, isKnown: boolean): boolean {
    if (!isKnown && this.#taken.has(revision)) return false;
    if (this.#isQuiet(key, revision)) return false;
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

  #isQuiet(key: string, revision: number): boolean {
    for (const [from, to] of this.#quiet.get(key) ?? []) {
      if (from >= revision) return false;
      if (revision <= to) return true;
    }
    return false;
  }
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
