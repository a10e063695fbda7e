import { checksumFromBytes, checksumToBytes } from "./checksum.ts";
import { OstreeDeltaError, OstreeFormatError } from "./errors.ts";
import { decodeVariant } from "./gvariant-decode.ts";
import { encodeVariant } from "./gvariant-encode.ts";
import type { Checksum, ObjectType } from "./objects.ts";

// A delta is: the magic, the header's length (u32, little-endian), the header (GVariant), then the parts of all objects in the
// header's order, each a zstd frame. An object is its parts' content one after another: a metadata object's bytes, or a
// file's framed header and content (what its checksum is over). A part may have a dictionary: a range of bytes of the base
// object, of which a file's is the content alone.

/** First bytes of a delta. */
export const DELTA_MAGIC = "KLDELTA1";
/** Bytes before the header. */
export const DELTA_PREFIX_BYTES = DELTA_MAGIC.length + 4;
const HEADER_TYPE = "(ayaya(yayaya(tttt)))";

/** Content of one part at most: what is in memory at once, with its dictionary. */
export const PART_BYTES_MAX = 4 * 1024 * 1024;
/** A dictionary at most. */
export const DICTIONARY_BYTES_MAX = 3 * PART_BYTES_MAX;
/** A file's framed header may come on top of the first part. */
export const PART_BYTES_LIMIT = PART_BYTES_MAX + 1024 * 1024;
/** zstd's window, log2: holds a part and its dictionary. */
export const WINDOW_LOG_MAX = 25;
const HEADER_BYTES_MAX = 64 * 1024 * 1024;

/** A piece of an object. */
export interface DeltaPart {
  /** Range of the base's bytes that is the dictionary; length 0 for none. */
  readonly dictionaryOffset: number;
  readonly dictionaryLength: number;
  /** Bytes of content. */
  readonly size: number;
  /** Bytes of the zstd frame. */
  readonly stored: number;
}

/** An object in a delta. */
export interface DeltaObject {
  readonly type: Exclude<ObjectType, "commitmeta">;
  readonly checksum: Checksum;
  /** The object of the same type in the old commit whose bytes are dictionaries. */
  readonly base?: Checksum;
  readonly parts: readonly DeltaPart[];
}

/** What a delta says of itself. Nothing of it is trusted: every object is verified against its checksum. */
export interface DeltaHeader {
  /** The commit that must be there; undefined for a delta from nothing. */
  readonly from?: Checksum;
  readonly to: Checksum;
  /** In the order of the body. */
  readonly objects: readonly DeltaObject[];
}

const TYPES = ["commit", "dirtree", "dirmeta", "file"] as const;

/** Magic, length and header. */
export function encodeDeltaHeader(header: DeltaHeader): Uint8Array {
  const bytes = encodeVariant(HEADER_TYPE, [
    optionalChecksum(header.from),
    checksumToBytes(header.to),
    header.objects.map(({ type, checksum, base, parts }) => [
      TYPES.indexOf(type),
      checksumToBytes(checksum),
      optionalChecksum(base),
      parts.map((part) =>
        [part.dictionaryOffset, part.dictionaryLength, part.size, part.stored].map((value) => BigInt(value)),
      ),
    ]),
  ]);
  const out = new Uint8Array(DELTA_PREFIX_BYTES + bytes.length);
  out.set(new TextEncoder().encode(DELTA_MAGIC));
  new DataView(out.buffer).setUint32(DELTA_MAGIC.length, bytes.length, true);
  out.set(bytes, DELTA_PREFIX_BYTES);
  return out;
}

function optionalChecksum(checksum: Checksum | undefined): Uint8Array {
  return checksum === undefined ? new Uint8Array() : checksumToBytes(checksum);
}

/** Length of the header that follows the prefix. @throws {OstreeDeltaError} */
export function decodeDeltaPrefix(prefix: Uint8Array): number {
  const magic = new TextEncoder().encode(DELTA_MAGIC);
  if (prefix.length !== DELTA_PREFIX_BYTES || magic.some((byte, i) => prefix[i] !== byte)) {
    throw new OstreeDeltaError("not a delta of this version");
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset).getUint32(DELTA_MAGIC.length, true);
  if (length > HEADER_BYTES_MAX) throw new OstreeDeltaError("a delta's header is too large", { length });
  return length;
}

/** The header after the prefix. @throws {OstreeDeltaError} */
export function decodeDeltaHeader(bytes: Uint8Array): DeltaHeader {
  try {
    const [from, to, objects] = decodeVariant(HEADER_TYPE, bytes) as [
      Uint8Array,
      Uint8Array,
      [number, Uint8Array, Uint8Array, [bigint, bigint, bigint, bigint][]][],
    ];
    return {
      ...(from.length > 0 && { from: checksumFromBytes(from) }),
      to: checksumFromBytes(to),
      objects: objects.map(([type, checksum, base, parts]) => ({
        type: objectType(type),
        checksum: checksumFromBytes(checksum),
        ...(base.length > 0 && { base: checksumFromBytes(base) }),
        parts: decodeParts(parts, base.length > 0),
      })),
    };
  } catch (cause) {
    if (!(cause instanceof OstreeFormatError)) throw cause;
    throw new OstreeDeltaError("a delta's header is damaged", {}, { cause });
  }
}

function objectType(index: number): DeltaObject["type"] {
  const type = TYPES[index];
  if (type === undefined) throw new OstreeFormatError("a delta holds an object of an unknown type", { index });
  return type;
}

function decodeParts(parts: readonly (readonly [bigint, bigint, bigint, bigint])[], hasBase: boolean): DeltaPart[] {
  let previousOffset = 0;
  return parts.map((numbers) => {
    const [dictionaryOffset = 0, dictionaryLength = 0, size = 0, stored = 0] = numbers.map(Number);
    const fits =
      [dictionaryOffset, dictionaryLength, size, stored].every(Number.isSafeInteger) &&
      dictionaryLength <= DICTIONARY_BYTES_MAX &&
      size <= PART_BYTES_LIMIT &&
      // zstd grows what it cannot shrink by less than this.
      stored <= size + 1024 + (size >> 6) &&
      (hasBase || dictionaryLength === 0) &&
      // The base is read once, from its beginning to its end.
      dictionaryOffset >= previousOffset;
    if (!fits) throw new OstreeFormatError("a delta's part is out of bounds");
    previousOffset = dictionaryOffset;
    return { dictionaryOffset, dictionaryLength, size, stored };
  });
}
