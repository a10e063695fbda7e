import { swap32, swap64 } from "./bytes.ts";
import { checksumToBytes } from "./checksum.ts";
import { OstreeFormatError } from "./errors.ts";
import { encodeVariant } from "./gvariant-encode.ts";
import type { Commit, DirMeta, DirTree, FileHeader, Xattr } from "./objects.ts";
import type { Metadata, VariantValue } from "./variant.ts";

/** GVariant types of OSTree's objects (upstream's ostree-core.h). */
export const COMMIT_TYPE = "(a{sv}aya(say)sstayay)";
export const DIRTREE_TYPE = "(a(say)a(sayay))";
export const DIRMETA_TYPE = "(uuua(ayay))";
export const FILE_HEADER_TYPE = "(uuuusa(ayay))";
export const ZLIB_FILE_HEADER_TYPE = "(tuuuusa(ayay))";
export const METADATA_TYPE = "a{sv}";

const utf8 = new TextEncoder();

/** A commit's bytes. */
export function encodeCommit(commit: Commit): Uint8Array {
  return encodeVariant(COMMIT_TYPE, [
    commit.metadata,
    commit.parent === undefined ? new Uint8Array() : checksumToBytes(commit.parent),
    commit.related.map(([name, checksum]) => [name, checksumToBytes(checksum)]),
    commit.subject,
    commit.body,
    swap64(BigInt(commit.timestamp)),
    checksumToBytes(commit.rootTree),
    checksumToBytes(commit.rootMeta),
  ]);
}

/** A dirtree's bytes. The caller has sorted it. */
export function encodeDirTree(tree: DirTree): Uint8Array {
  return encodeVariant(DIRTREE_TYPE, [
    tree.files.map(([name, file]) => [name, checksumToBytes(file)]),
    tree.dirs.map(([name, sub, meta]) => [name, checksumToBytes(sub), checksumToBytes(meta)]),
  ]);
}

/** A dirmeta's bytes. */
export function encodeDirMeta(meta: DirMeta): Uint8Array {
  return encodeVariant(DIRMETA_TYPE, [
    swap32(meta.uid),
    swap32(meta.gid),
    swap32(meta.mode),
    encodeXattrs(meta.xattrs),
  ]);
}

function encodeXattrs(xattrs: readonly Xattr[]): VariantValue {
  return xattrs.map(({ name, value }) => [utf8.encode(`${name}\0`), value]);
}

/** What a file object's checksum begins with: length, padding, header. The content follows. */
export function encodeFileHeader(header: FileHeader): Uint8Array {
  return framed(encodeVariant(FILE_HEADER_TYPE, headerFields(header)));
}

/** What a `.filez` begins with; raw deflate of the content follows. */
export function encodeZlibFileHeader(header: FileHeader, size: number): Uint8Array {
  if (!Number.isSafeInteger(size) || size < 0) throw new OstreeFormatError("not a file's size", { size });
  return framed(encodeVariant(ZLIB_FILE_HEADER_TYPE, [swap64(BigInt(size)), ...headerFields(header)]));
}

function headerFields(header: FileHeader): VariantValue[] {
  const rdev = 0;
  return [
    swap32(header.uid),
    swap32(header.gid),
    swap32(header.mode),
    rdev,
    header.symlinkTarget,
    encodeXattrs(header.xattrs),
  ];
}

function framed(variant: Uint8Array): Uint8Array {
  const out = new Uint8Array(8 + variant.length);
  new DataView(out.buffer).setUint32(0, variant.length, false);
  out.set(variant, 8);
  return out;
}

/** An `a{sv}`, such as detached metadata. */
export function encodeMetadata(metadata: Metadata): Uint8Array {
  return encodeVariant(METADATA_TYPE, metadata);
}
