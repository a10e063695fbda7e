import { swap32, swap64 } from "./bytes.ts";
import { checksumFromBytes } from "./checksum.ts";
import {
  COMMIT_TYPE,
  DIRMETA_TYPE,
  DIRTREE_TYPE,
  FILE_HEADER_TYPE,
  METADATA_TYPE,
  ZLIB_FILE_HEADER_TYPE,
} from "./encode.ts";
import { OstreeFormatError } from "./errors.ts";
import { decodeVariant } from "./gvariant-decode.ts";
import { isEntryName } from "./names.ts";
import {
  type Commit,
  type DirMeta,
  type DirTree,
  type FileHeader,
  type ObjectType,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type Xattr,
} from "./objects.ts";
import type { Metadata, Variant, VariantValue } from "./variant.ts";

/** Larger metadata objects are refused, as upstream does (OSTREE_MAX_METADATA_SIZE). */
export const METADATA_BYTES_MAX = 128 * 1024 * 1024;
/** A file's header holds a symlink target and xattrs: bounded by what Linux allows, generously. */
export const FILE_HEADER_BYTES_MAX = 10 * 1024 * 1024;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decode(type: string, bytes: Uint8Array, limit = METADATA_BYTES_MAX): VariantValue[] {
  if (bytes.length > limit) throw new OstreeFormatError("object is too large", { bytes: bytes.length, limit });
  return decodeVariant(type, bytes) as VariantValue[];
}

/** The inverse of `encodeCommit`. @throws {OstreeFormatError} */
export function decodeCommit(bytes: Uint8Array): Commit {
  const [metadata, parent, related, subject, body, timestamp, rootTree, rootMeta] = decode(COMMIT_TYPE, bytes) as [
    Metadata,
    Uint8Array,
    [string, Uint8Array][],
    string,
    string,
    bigint,
    Uint8Array,
    Uint8Array,
  ];
  const seconds = Number(swap64(timestamp));
  if (!Number.isSafeInteger(seconds)) throw new OstreeFormatError("a commit's time is out of range", { seconds });
  return {
    metadata,
    ...(parent.length > 0 && { parent: checksumFromBytes(parent) }),
    related: related.map(([name, checksum]) => [name, checksumFromBytes(checksum)]),
    subject,
    body,
    timestamp: seconds,
    rootTree: checksumFromBytes(rootTree),
    rootMeta: checksumFromBytes(rootMeta),
  };
}

/**
 * The inverse of `encodeDirTree`. Names that could leave the directory, and a name that stands twice, are refused.
 * @throws {OstreeFormatError}
 */
export function decodeDirTree(bytes: Uint8Array): DirTree {
  const [files, dirs] = decode(DIRTREE_TYPE, bytes) as [[string, Uint8Array][], [string, Uint8Array, Uint8Array][]];
  const seen = new Set<string>();
  const check = (name: string) => {
    if (!isEntryName(name)) throw new OstreeFormatError(`not a file name: ${JSON.stringify(name)}`);
    if (seen.has(name)) throw new OstreeFormatError(`the name ${JSON.stringify(name)} stands twice in a directory`);
    seen.add(name);
    return name;
  };
  return {
    files: files.map(([name, file]) => [check(name), checksumFromBytes(file)]),
    dirs: dirs.map(([name, tree, meta]) => [check(name), checksumFromBytes(tree), checksumFromBytes(meta)]),
  };
}

/** The inverse of `encodeDirMeta`. @throws {OstreeFormatError} */
export function decodeDirMeta(bytes: Uint8Array): DirMeta {
  const [uid, gid, mode, xattrs] = decode(DIRMETA_TYPE, bytes) as [number, number, number, [Uint8Array, Uint8Array][]];
  const type = swap32(mode) & S_IFMT;
  if (type !== S_IFDIR) throw new OstreeFormatError("a dirmeta is not of a directory", { mode: swap32(mode) });
  return { uid: swap32(uid), gid: swap32(gid), mode: checkModeBits(swap32(mode)), xattrs: decodeXattrs(xattrs) };
}

function checkModeBits(mode: number): number {
  if (mode > 0o177777) throw new OstreeFormatError("a mode has unknown bits", { mode });
  return mode;
}

function decodeXattrs(xattrs: readonly (readonly [Uint8Array, Uint8Array])[]): Xattr[] {
  return xattrs.map(([name, value]) => {
    if (name.indexOf(0) !== name.length - 1) throw new OstreeFormatError("an xattr's name ends with its only NUL");
    try {
      return { name: utf8.decode(name.subarray(0, -1)), value };
    } catch (cause) {
      throw new OstreeFormatError("an xattr's name is not UTF-8", {}, { cause });
    }
  });
}

function checkFileMode(mode: number, symlinkTarget: string): number {
  const type = mode & S_IFMT;
  if (type !== S_IFREG && type !== S_IFLNK) throw new OstreeFormatError("neither a file nor a symlink", { mode });
  if (type === S_IFREG && symlinkTarget !== "") throw new OstreeFormatError("a regular file with a symlink's target");
  if (type === S_IFLNK && symlinkTarget === "") throw new OstreeFormatError("a symlink without a target");
  return checkModeBits(mode);
}

function headerOf(fields: readonly VariantValue[]): FileHeader {
  const [uid, gid, mode, rdev, symlinkTarget, xattrs] = fields as [
    number,
    number,
    number,
    number,
    string,
    [Uint8Array, Uint8Array][],
  ];
  if (rdev !== 0) throw new OstreeFormatError("a file object is not a device", { rdev: swap32(rdev) });
  return {
    uid: swap32(uid),
    gid: swap32(gid),
    mode: checkFileMode(swap32(mode), symlinkTarget),
    symlinkTarget,
    xattrs: decodeXattrs(xattrs),
  };
}

/** The header of a file object's stream, without the eight bytes before it. @throws {OstreeFormatError} */
export function decodeFileHeader(bytes: Uint8Array): FileHeader {
  return headerOf(decode(FILE_HEADER_TYPE, bytes, FILE_HEADER_BYTES_MAX));
}

/** The header of a `.filez`, without the eight bytes before it. @throws {OstreeFormatError} */
export function decodeZlibFileHeader(bytes: Uint8Array): { readonly header: FileHeader; readonly size: number } {
  const [size, ...fields] = decode(ZLIB_FILE_HEADER_TYPE, bytes, FILE_HEADER_BYTES_MAX);
  const header = headerOf(fields);
  const length = Number(swap64(size as bigint));
  if (!Number.isSafeInteger(length)) throw new OstreeFormatError("a file's size is out of range", { size: length });
  if (length > 0 && (header.mode & S_IFMT) === S_IFLNK) throw new OstreeFormatError("a symlink with content");
  return { header, size: length };
}

/** Reads the eight bytes before a header: its length in bytes. @throws {OstreeFormatError} */
export function decodeHeaderLength(bytes: Uint8Array): number {
  if (bytes.length < 8) throw new OstreeFormatError("a file object is cut short", { bytes: bytes.length });
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
  const length = view.getUint32(0, false);
  if (view.getUint32(4, false) !== 0) throw new OstreeFormatError("padding before a header is not zero");
  if (length > FILE_HEADER_BYTES_MAX) throw new OstreeFormatError("a file's header is too large", { bytes: length });
  return length;
}

/** The inverse of `encodeMetadata`. @throws {OstreeFormatError} */
export function decodeMetadata(bytes: Uint8Array): Metadata {
  if (bytes.length > METADATA_BYTES_MAX) throw new OstreeFormatError("metadata is too large", { bytes: bytes.length });
  return decodeVariant(METADATA_TYPE, bytes) as unknown as Metadata;
}

/** The value of a key in an `a{sv}`; of a key that stands twice, the first, as glib's lookup does. */
export function lookupMetadata(metadata: Metadata, key: string): Variant | undefined {
  return metadata.find(([name]) => name === key)?.[1];
}

/** A string value of an `a{sv}`, or undefined when there is none or it is of another type. */
export function metadataString(metadata: Metadata, key: string): string | undefined {
  const variant = lookupMetadata(metadata, key);
  return variant?.type === "s" ? (variant.value as string) : undefined;
}

/** Decodes to see whether the bytes are such an object. @throws {OstreeFormatError} */
export function validateMetadataObject(type: Exclude<ObjectType, "file">, bytes: Uint8Array): void {
  switch (type) {
    case "commit":
      decodeCommit(bytes);
      break;
    case "dirtree":
      decodeDirTree(bytes);
      break;
    case "dirmeta":
      decodeDirMeta(bytes);
      break;
    case "commitmeta":
      decodeMetadata(bytes);
      break;
  }
}
