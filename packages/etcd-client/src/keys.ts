import { EtcdError } from "./errors.ts";
import type { Bytes, KeyRange } from "./types.ts";

const encoder = new TextEncoder();
const ZERO = new Uint8Array([0]);
const NONE = new Uint8Array(0);

/** Text as UTF-8; bytes as they are. */
export function toBytes(value: Bytes): Uint8Array {
  return typeof value === "string" ? encoder.encode(value) : value;
}

/** The end of the range of all keys with a prefix: the prefix with its last byte one higher. `\0` (no end) if there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i] ?? 0;
    if (byte < 0xff) {
      const end = prefix.slice(0, i + 1);
      end[i] = byte + 1;
      return end;
    }
  }
  return ZERO;
}

/** `key` and `range_end` as the API wants them. @throws {EtcdError} ERR_EMPTY_KEY */
export function toWireRange(range: KeyRange): { key: Uint8Array; rangeEnd: Uint8Array } {
  if ("prefix" in range) {
    const prefix = toBytes(range.prefix);
    return prefix.length === 0 ? { key: ZERO, rangeEnd: ZERO } : { key: prefix, rangeEnd: prefixEnd(prefix) };
  }
  if ("from" in range) {
    const from = toBytes(range.from);
    const to = range.to === undefined ? ZERO : toBytes(range.to);
    return { key: from.length === 0 ? ZERO : from, rangeEnd: to };
  }
  const key = toBytes(range.key);
  // The server would say so too; for a watch it would take it for everything instead.
  if (key.length === 0) throw new EtcdError("ERR_EMPTY_KEY", "etcdserver: key is not provided", { status: 3 });
  return { key, rangeEnd: NONE };
}

/** A bare key or prefix in text or bytes, or a range, as a range. */
export function toRange(range: Bytes | KeyRange): KeyRange {
  return typeof range === "string" || range instanceof Uint8Array ? { key: range } : range;
}

/** `%x` of a lease, as clientv3's recipes put it into keys. */
export function leaseHex(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}

/** Compares bytes as etcd orders keys. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}
