import { StoreWriteError } from "./errors.ts";
import { compareBytes, type WriteOp } from "./kv-store.ts";

/** Lists the stored keys of `[gte, lt)` in chunks. */
export type ScanKeys = (gte: Uint8Array, lt: Uint8Array) => AsyncIterable<readonly Uint8Array[]>;

/** A change of one key. */
export type PointOp = Exclude<WriteOp, { type: "delRange" }>;

/** Keys that the ranges of one batch may hold. More would make one batch, which LevelDB keeps in memory, too large. */
export const RANGE_KEYS_MAX = 1_000_000;

/** Replaces range deletes by deletes of the keys that the range holds then, those put earlier in the batch included. */
export async function expandRanges(ops: readonly WriteOp[], scanKeys: ScanKeys): Promise<readonly PointOp[]> {
  if (ops.every((op) => op.type !== "delRange")) return ops as readonly PointOp[];
  const out: PointOp[] = [];
  let deleted = 0;
  for (const op of ops) {
    if (op.type !== "delRange") {
      out.push(op);
      continue;
    }
    // Before the stored keys are added: deletes of deletes would be useless.
    const puts = out.filter((p) => p.type === "put" && isWithin(p.key, op.gte, op.lt));
    for (const put of puts) out.push({ type: "del", key: put.key });
    for await (const keys of scanKeys(op.gte, op.lt)) {
      deleted += keys.length;
      if (deleted > RANGE_KEYS_MAX) {
        throw new StoreWriteError(
          "too-large",
          `a batch deletes ranges of at most ${RANGE_KEYS_MAX} keys; use smaller ranges`,
        );
      }
      for (const key of keys) out.push({ type: "del", key });
    }
  }
  return out;
}

function isWithin(key: Uint8Array, gte: Uint8Array, lt: Uint8Array): boolean {
  return compareBytes(key, gte) >= 0 && compareBytes(key, lt) < 0;
}
