import { bytesToKey } from "./bytes.ts";

/**
 * The keys `k` with `start <= k`, and `k < end` unless `end` is undefined. Bounds are strings of `bytesToKey`.
 * A single key is the range up to its own successor.
 */
export interface KeyRange {
  readonly start: string;
  readonly end: string | undefined;
  /** Whether the range was asked as one key, not as an interval. */
  readonly single: boolean;
}

/**
 * Reads etcd's pair of key and range_end. Absent or empty `end`: the one key. `"\0"`: every key from `key` on (so both
 * `"\0"` is everything). `end` at or below `key`: an empty range, not an error.
 */
export function keyRange(key: Uint8Array, end?: Uint8Array): KeyRange {
  const start = bytesToKey(key);
  if (end === undefined || end.length === 0) return { start, end: `${start}\0`, single: true };
  if (end.length === 1 && end[0] === 0) return { start, end: undefined, single: false };
  return { start, end: bytesToKey(end), single: false };
}

/** Whether no key can be in the range. */
export function isEmptyRange(range: KeyRange): boolean {
  return range.end !== undefined && range.end <= range.start;
}

export function rangeContains(range: KeyRange, key: string): boolean {
  return key >= range.start && (range.end === undefined || key < range.end);
}

/**
 * The `end` that makes a range of all keys with this prefix: the prefix with its last byte raised, trailing 0xff
 * bytes dropped; `"\0"` for the empty prefix and for one of 0xff only.
 */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i] as number;
    if (byte < 0xff) {
      const end = prefix.slice(0, i + 1);
      end[i] = byte + 1;
      return end;
    }
  }
  return new Uint8Array([0]);
}
