import type { Entry } from "./types.ts";

/** Bytes of a base-128 varint. `value` is a safe non-negative integer. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  if (value < 0x1000_0000) return 4;
  let n = 5;
  for (let rest = Math.floor(value / 0x8_0000_0000); rest > 0; rest = Math.floor(rest / 0x80)) n++;
  return n;
}

/** Bytes of one entry in raftpb encoding; limits such as `maxSizePerMsg` count these. */
export function entryBytes(e: Entry): number {
  let n = 0;
  if (e.type !== "EntryNormal") n += 2;
  if (e.term !== 0) n += 1 + varintBytes(e.term);
  if (e.index !== 0) n += 1 + varintBytes(e.index);
  const length = e.data.length;
  if (length !== 0) n += 1 + varintBytes(length) + length;
  return n;
}

/** Sum of {@link entryBytes}. */
export function entriesBytes(entries: readonly Entry[]): number {
  let n = 0;
  for (let i = 0; i < entries.length; i++) n += entryBytes(entries[i] as Entry);
  return n;
}

/** Bytes of the payloads alone: what an application proposed. Entries of a new leader and of leaving a joint configuration count 0. */
export function payloadBytes(entries: readonly Entry[]): number {
  let n = 0;
  for (let i = 0; i < entries.length; i++) n += (entries[i] as Entry).data.length;
  return n;
}

/**
 * How many of `entries[from..to)` fit in `maxBytes`. Never 0 for a non-empty range: an entry larger than the limit
 * travels alone, or replication would stop for good.
 */
export function countWithin(entries: readonly Entry[], from: number, to: number, maxBytes: number): number {
  if (from >= to) return 0;
  if (maxBytes === Number.POSITIVE_INFINITY) return to - from;
  let size = entryBytes(entries[from] as Entry);
  for (let i = from + 1; i < to; i++) {
    size += entryBytes(entries[i] as Entry);
    if (size > maxBytes) return i - from;
  }
  return to - from;
}
