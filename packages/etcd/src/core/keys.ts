// Where things are in the member's one store. Multi-byte numbers are big-endian, so that byte order is their order.
//
//   m<name>            identity, hard state, log offset, current generation
//   l<index:8>         raft log entries
//   a<generation:4>... the applied state. A snapshot of the leader is written as a new generation beside the old one and
//                      becomes the state by one small batch; the other is then deleted.

const LOG = 0x6c;
const APPLIED = 0x61;

/** Records of the member itself. */
export const META = {
  identity: text("midentity"),
  hardState: text("mhardstate"),
  logOffset: text("mlogoffset"),
  generation: text("mgeneration"),
} as const;

/** First bytes of the kinds of records within the applied state. */
export const KIND = {
  /** The index and term that the rest of the generation is at. Sorts first, so that a scan meets it first. */
  applied: 0x00,
  confState: 0x01,
  member: 0x02,
  removedMember: 0x03,
  clusterVersion: 0x04,
  lease: 0x05,
  alarm: 0x06,
  /** What `MvccStore` keeps. */
  mvcc: 0x10,
} as const;

/** The key of a log entry. */
export function logKey(index: number): Uint8Array {
  const key = new Uint8Array(9);
  key[0] = LOG;
  writeU64(key, 1, index);
  return key;
}

/** What comes in front of every key of a generation. */
export function generationPrefix(generation: number): Uint8Array {
  const prefix = new Uint8Array(5);
  prefix[0] = APPLIED;
  writeU32(prefix, 1, generation);
  return prefix;
}

/** The range of all keys of a generation. */
export function generationRange(generation: number): { gte: Uint8Array; lt: Uint8Array } {
  return { gte: generationPrefix(generation), lt: generationPrefix(generation + 1) };
}

/** The key, within a generation, of a record about a 64-bit id. */
export function idKey(kind: number, id: bigint, suffix?: number): Uint8Array {
  const key = new Uint8Array(suffix === undefined ? 9 : 10);
  key[0] = kind;
  new DataView(key.buffer).setBigUint64(1, BigInt.asUintN(64, id));
  if (suffix !== undefined) key[9] = suffix;
  return key;
}

/** The id in a key made by {@link idKey}. */
export function idOfKey(key: Uint8Array): bigint {
  return new DataView(key.buffer, key.byteOffset, key.byteLength).getBigUint64(1);
}

export function kindKey(kind: number): Uint8Array {
  return new Uint8Array([kind]);
}

/** Joins two byte strings. */
export function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

function writeU64(bytes: Uint8Array, at: number, value: number): void {
  writeU32(bytes, at, Math.floor(value / 2 ** 32));
  writeU32(bytes, at + 4, value >>> 0);
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** ASCII text as bytes. */
export function text(ascii: string): Uint8Array {
  const out = new Uint8Array(ascii.length);
  for (let i = 0; i < ascii.length; i++) out[i] = ascii.charCodeAt(i);
  return out;
}
