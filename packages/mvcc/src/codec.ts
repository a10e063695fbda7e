import { assert, crc32c, type LeaseId, type Revision } from "@keelson/types";
import { EMPTY_BYTES } from "./bytes.ts";
import { CorruptValueError } from "./errors.ts";
import type { KeyValue } from "./types.ts";

/*
 * Layout inside the caller's one-byte prefix P:
 *
 *   P 00 tag                    a meta record, see meta.ts
 *   P 01 main(8 BE) sub(4 BE)   what happened to one key in that revision:
 *
 *   0     format, 1
 *   1     flags: 1 tombstone, 2 has a lease
 *   2..5  records of the same main revision that follow this one, BE. So a reader without scan knows where it ends.
 *   6..   varint length of the key, the key
 *         of a put: varint create revision, varint version, 8 bytes of lease if flagged, the value
 *   -4..  CRC32C of main, sub, bytes 0, 1 and 6.., xored with a mix of bytes 2..5, BE
 *
 * The checksum without that mix ("body checksum") does not depend on how many records follow: it identifies the
 * record in the index and in the state hash.
 */

export const RECORD_KEY_BYTES = 14;
export const META_SPACE = 0;
export const RECORD_SPACE = 1;
const FORMAT = 1;
const TOMBSTONE = 1;
const LEASED = 2;
const HEADER_BYTES = 6;
const CRC_BYTES = 4;
const TWO_32 = 2 ** 32;
/** Sub-revisions of puts are packed beside a checksum in the index, see key-index.ts. */
export const MAX_PUTS_PER_REVISION = 2 ** 21;

export interface StoredRecord {
  readonly tombstone: boolean;
  readonly kv: KeyValue;
  /** Records of the same main revision that follow. */
  readonly following: number;
  /** See the layout. */
  readonly bodyCrc: number;
}

/** A record ready to be put. */
export interface EncodedRecord {
  readonly key: Uint8Array;
  readonly bytes: Uint8Array;
  readonly bodyCrc: number;
}

/** The backend key of a revision. */
export function recordKey(prefix: number, main: Revision, sub: number): Uint8Array {
  const key = new Uint8Array(RECORD_KEY_BYTES);
  key[0] = prefix;
  key[1] = RECORD_SPACE;
  putU32(key, 2, Math.floor(main / TWO_32));
  putU32(key, 6, main);
  putU32(key, 10, sub);
  return key;
}

/** The revision of a backend key made by {@link recordKey}. */
export function parseRecordKey(key: Uint8Array): { main: Revision; sub: number } {
  const high = getU32(key, 2);
  if (key.length !== RECORD_KEY_BYTES || key[1] !== RECORD_SPACE || high >= 2 ** 21)
    throw new CorruptValueError("a key is not a revision", { key });
  return { main: high * TWO_32 + getU32(key, 6), sub: getU32(key, 10) };
}

/** Encodes a put with no record following; {@link setFollowing} corrects that before the record is written. */
export function encodePut(key: Uint8Array, kv: KeyValue): EncodedRecord {
  const leased = kv.lease !== 0n;
  const keyLength = kv.key.length;
  const size =
    HEADER_BYTES +
    varintSize(keyLength) +
    keyLength +
    varintSize(kv.createRevision) +
    varintSize(kv.version) +
    (leased ? 8 : 0) +
    kv.value.length +
    CRC_BYTES;
  const bytes = new Uint8Array(size);
  bytes[0] = FORMAT;
  bytes[1] = leased ? LEASED : 0;
  let at = putVarint(bytes, HEADER_BYTES, keyLength);
  bytes.set(kv.key, at);
  at = putVarint(bytes, at + keyLength, kv.createRevision);
  at = putVarint(bytes, at, kv.version);
  if (leased) {
    putU32(bytes, at, Number(BigInt.asUintN(32, kv.lease >> 32n)));
    putU32(bytes, at + 4, Number(BigInt.asUintN(32, kv.lease)));
    at += 8;
  }
  bytes.set(kv.value, at);
  return seal(key, bytes);
}

/** Encodes a tombstone, see {@link encodePut}. */
export function encodeTombstone(key: Uint8Array, userKey: Uint8Array): EncodedRecord {
  const bytes = new Uint8Array(HEADER_BYTES + varintSize(userKey.length) + userKey.length + CRC_BYTES);
  bytes[0] = FORMAT;
  bytes[1] = TOMBSTONE;
  bytes.set(userKey, putVarint(bytes, HEADER_BYTES, userKey.length));
  return seal(key, bytes);
}

function seal(key: Uint8Array, bytes: Uint8Array): EncodedRecord {
  const crc = bodyCrc(key, bytes);
  putU32(bytes, bytes.length - CRC_BYTES, crc);
  return { key, bytes, bodyCrc: crc };
}

function bodyCrc(key: Uint8Array, bytes: Uint8Array): number {
  return crc32c(crc32c(crc32c(0, key, 2), bytes, 0, 2), bytes, HEADER_BYTES, bytes.length - CRC_BYTES);
}

/** Says in an encoded record that `following` records of the same revision come after it. */
export function setFollowing(bytes: Uint8Array, body: number, following: number): void {
  putU32(bytes, 2, following);
  putU32(bytes, bytes.length - CRC_BYTES, body ^ mixFollowing(following));
}

/** A bijection, so that any flipped bit of the field changes the checksum; 0 stays 0. */
function mixFollowing(following: number): number {
  return Math.imul(following, 0x9e3779b1);
}

/** Decodes and verifies a record. @throws CorruptValueError naming the revision */
export function decodeRecord(key: Uint8Array, bytes: Uint8Array): StoredRecord {
  const { main, sub } = parseRecordKey(key);
  const end = bytes.length - CRC_BYTES;
  if (end < HEADER_BYTES + 1) throw corrupt("too short", main, sub, bytes);
  if (bytes[0] !== FORMAT) throw corrupt("unknown format", main, sub, bytes);
  const following = getU32(bytes, 2);
  const body = bodyCrc(key, bytes);
  if ((body ^ mixFollowing(following)) >>> 0 !== getU32(bytes, end)) throw corrupt("wrong checksum", main, sub, bytes);
  const flags = bytes[1] as number;
  const reader = new VarintReader(bytes, HEADER_BYTES);
  const keyLength = reader.next();
  const keyAt = reader.at;
  const userKey = bytes.subarray(keyAt, keyAt + keyLength);
  reader.at = keyAt + keyLength;
  if (flags & TOMBSTONE) {
    const kv = { key: userKey, createRevision: 0, modRevision: main, version: 0, value: EMPTY_BYTES, lease: 0n };
    return { tombstone: true, kv, following, bodyCrc: body };
  }
  const createRevision = reader.next();
  const version = reader.next();
  const lease = flags & LEASED ? readLease(bytes, reader.at) : 0n;
  const value = bytes.subarray(flags & LEASED ? reader.at + 8 : reader.at, end);
  const kv = { key: userKey, createRevision, modRevision: main, version, value, lease };
  return { tombstone: false, kv, following, bodyCrc: body };
}

function readLease(bytes: Uint8Array, at: number): LeaseId {
  return BigInt.asIntN(64, (BigInt(getU32(bytes, at)) << 32n) | BigInt(getU32(bytes, at + 4)));
}

function corrupt(what: string, main: number, sub: number, bytes: Uint8Array): CorruptValueError {
  return new CorruptValueError(`${what} at revision ${main}/${sub}`, { main, sub, bytes: bytes.length });
}

export function varintSize(n: number): number {
  let size = 1;
  for (; n >= 128; n = Math.floor(n / 128)) size++;
  return size;
}

/** Writes a safe integer, returns where it ends. */
export function putVarint(bytes: Uint8Array, at: number, n: number): number {
  for (; n >= 128; n = Math.floor(n / 128)) bytes[at++] = (n % 128) | 128;
  bytes[at++] = n;
  return at;
}

export class VarintReader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** The next integer. Beyond the end it is 0: callers have verified a checksum before. */
  next(): number {
    let n = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.at++] ?? 0;
      n += (byte & 127) * scale;
      if (byte < 128) return n;
    }
  }
}

export function putU32(bytes: Uint8Array, at: number, n: number): void {
  bytes[at] = n >>> 24;
  bytes[at + 1] = n >>> 16;
  bytes[at + 2] = n >>> 8;
  bytes[at + 3] = n;
}

export function getU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

/** Guards the packing of {@link MAX_PUTS_PER_REVISION}. */
export function assertSub(sub: number): void {
  assert(sub < MAX_PUTS_PER_REVISION, "one revision has fewer than 2^21 puts", { sub });
}
