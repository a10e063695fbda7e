import { assert, crc32c } from "@keelson/types";
import type { EntryKind } from "../tar/header.ts";

/** Bytes of a block of the images that are written here. */
export const EROFS_BLOCK = 4096;
/** Bytes of an inode in its extended form. Linux fs/erofs/erofs_fs.h, as all that follows. */
export const INODE_BYTES = 64;
/** Inodes are numbered by their place: their offset in slots of so many bytes. */
export const SLOT_BYTES = 32;
/** Where the root inode is: behind the superblock, so that its number fits 16 bits. */
export const ROOT_OFFSET = 1152;

const SUPER_OFFSET = 1024;
const MAGIC = 0xe0f5_e1e2;
const HAS_CHECKSUM = 1;
const HAS_MTIME = 2;
const UUID_OFFSET = SUPER_OFFSET + 48;
const CHECKSUM_OFFSET = SUPER_OFFSET + 4;

/** Content in blocks of its own. */
export const FLAT_PLAIN = 0;
/** Content in blocks of its own, but for the last part, which follows the inode. */
export const FLAT_INLINE = 2;

const TYPES: Readonly<Record<Exclude<EntryKind, "hardlink">, { readonly mode: number; readonly dirent: number }>> = {
  file: { mode: 0o100000, dirent: 1 },
  directory: { mode: 0o040000, dirent: 2 },
  char: { mode: 0o020000, dirent: 3 },
  block: { mode: 0o060000, dirent: 4 },
  fifo: { mode: 0o010000, dirent: 5 },
  symlink: { mode: 0o120000, dirent: 7 },
};

/** Kinds that have an inode: a hard link only has a name. */
export type InodeKind = keyof typeof TYPES;

/** The kind that a mode says; undefined for sockets and nonsense. */
export function kindOfMode(mode: number): InodeKind | undefined {
  const kinds = Object.keys(TYPES) as InodeKind[];
  return kinds.find((kind) => TYPES[kind].mode === (mode & 0o170000));
}

/** What an inode says. */
export interface InodeFields {
  readonly kind: InodeKind;
  readonly layout: number;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: { readonly seconds: number; readonly nanos: number };
  readonly links: number;
  /** First block of the content; for devices the device number, see {@link encodeDevice}. */
  readonly where: number;
  /** As `stat` shows it on 32-bit machines. */
  readonly serial: number;
  /** Bytes of the attributes that follow, as {@link encodeXattrs} made them. */
  readonly xattrBytes: number;
}

/** Writes an inode at `offset`. */
export function writeInode(into: DataView, offset: number, inode: InodeFields): void {
  into.setUint16(offset, 1 | (inode.layout << 1), true);
  // The count is in words of 4 bytes behind a header of 12.
  into.setUint16(offset + 2, inode.xattrBytes === 0 ? 0 : (inode.xattrBytes - 12) / 4 + 1, true);
  into.setUint16(offset + 4, TYPES[inode.kind].mode | (inode.mode & 0o7777), true);
  into.setUint16(offset + 6, 0, true);
  into.setBigUint64(offset + 8, BigInt(inode.size), true);
  into.setUint32(offset + 16, inode.where, true);
  into.setUint32(offset + 20, inode.serial, true);
  into.setUint32(offset + 24, inode.uid, true);
  into.setUint32(offset + 28, inode.gid, true);
  into.setBigInt64(offset + 32, BigInt(inode.mtime.seconds), true);
  into.setUint32(offset + 40, inode.mtime.nanos, true);
  into.setUint32(offset + LINKS_FIELD, inode.links, true);
}

/** Where the number of links is in an inode. */
export const LINKS_FIELD = 44;

/** A device number as the kernel's `new_encode_dev` writes it. */
export function encodeDevice(major: number, minor: number): number {
  assert(major < 4096 && minor < 1_048_576, "device numbers have 12 and 20 bits", { major, minor });
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** A name of a directory. */
export interface Dirent {
  /** Bytes as Latin-1. */
  readonly name: string;
  readonly inodeOffset: number;
  readonly kind: InodeKind;
}

const DIRENT_BYTES = 12;

/** How many bytes {@link encodeDirectory} will give for these names, which must be sorted and hold `.` and `..`. */
export function directorySize(names: readonly string[]): number {
  let blocks = 0;
  let used = 0;
  for (const name of names) {
    const needed = DIRENT_BYTES + name.length;
    if (used + needed > EROFS_BLOCK) {
      blocks++;
      used = 0;
    }
    used += needed;
  }
  return blocks * EROFS_BLOCK + used;
}

/** The content of a directory: in each block first the entries, then their names; sorted by bytes, so that the kernel can search. */
export function encodeDirectory(entries: readonly Dirent[]): Uint8Array {
  const bytes = new Uint8Array(directorySize(entries.map((entry) => entry.name)));
  const view = new DataView(bytes.buffer);
  let base = 0;
  for (let first = 0; first < entries.length; base += EROFS_BLOCK) {
    let end = first;
    for (let used = 0; end < entries.length; end++) {
      used += DIRENT_BYTES + (entries[end]?.name.length ?? 0);
      if (used > EROFS_BLOCK) break;
    }
    let nameOffset = (end - first) * DIRENT_BYTES;
    for (let i = first; i < end; i++) {
      const entry = entries[i];
      assert(entry !== undefined, "an entry of the block");
      const at = base + (i - first) * DIRENT_BYTES;
      view.setBigUint64(at, BigInt(entry.inodeOffset / SLOT_BYTES), true);
      view.setUint16(at + 8, nameOffset, true);
      view.setUint8(at + 10, TYPES[entry.kind].dirent);
      for (let c = 0; c < entry.name.length; c++) bytes[base + nameOffset + c] = entry.name.charCodeAt(c);
      nameOffset += entry.name.length;
    }
    first = end;
  }
  return bytes;
}

/** Prefixes of attribute names that have a number. */
const XATTR_PREFIXES: readonly (readonly [prefix: string, index: number])[] = [
  ["user.", 1],
  ["trusted.", 4],
  ["security.", 6],
];
const ACLS: Readonly<Record<string, number>> = { "system.posix_acl_access": 2, "system.posix_acl_default": 3 };

/** The start of the names of attributes of this number. */
export function xattrPrefix(index: number): string | undefined {
  return XATTR_PREFIXES.find(([, i]) => i === index)?.[0] ?? Object.keys(ACLS).find((name) => ACLS[name] === index);
}

/** Whether an attribute of this name can be stored. */
export function isXattrName(name: string): boolean {
  if (Object.hasOwn(ACLS, name)) return true;
  const prefix = XATTR_PREFIXES.find(([p]) => name.startsWith(p))?.[0];
  return prefix !== undefined && name.length > prefix.length && name.length - prefix.length <= 255;
}

/** Attributes as they follow an inode; values are bytes as Latin-1. Nothing for none. */
export function encodeXattrs(xattrs: ReadonlyMap<string, string>): Uint8Array {
  if (xattrs.size === 0) return new Uint8Array(0);
  const entries = [...xattrs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => encodeXattr(name, value));
  const bytes = new Uint8Array(entries.reduce((sum, entry) => sum + entry.length, 12));
  let at = 12;
  for (const entry of entries) {
    bytes.set(entry, at);
    at += entry.length;
  }
  return bytes;
}

function encodeXattr(name: string, value: string): Uint8Array {
  const acl = Object.hasOwn(ACLS, name) ? ACLS[name] : undefined;
  const [prefix, index] =
    acl === undefined ? (XATTR_PREFIXES.find(([p]) => name.startsWith(p)) ?? ["", 0]) : [name, acl];
  const rest = name.slice(prefix.length);
  const bytes = new Uint8Array((4 + rest.length + value.length + 3) & ~3);
  bytes[0] = rest.length;
  bytes[1] = index;
  bytes[2] = value.length & 0xff;
  bytes[3] = value.length >> 8;
  for (let i = 0; i < rest.length; i++) bytes[4 + i] = rest.charCodeAt(i);
  for (let i = 0; i < value.length; i++) bytes[4 + rest.length + i] = value.charCodeAt(i);
  return bytes;
}

/** Writes the superblock into the first block, without uuid and checksum: see {@link sealSuperblock}. */
export function writeSuperblock(block: Uint8Array, fields: { readonly inodes: number; readonly blocks: number }): void {
  const view = new DataView(block.buffer, block.byteOffset + SUPER_OFFSET, 128);
  view.setUint32(0, MAGIC, true);
  view.setUint32(8, HAS_CHECKSUM | HAS_MTIME, true);
  view.setUint8(12, Math.log2(EROFS_BLOCK));
  view.setUint16(14, ROOT_OFFSET / SLOT_BYTES, true);
  view.setBigUint64(16, BigInt(fields.inodes), true);
  view.setUint32(36, fields.blocks, true);
}

/** Bytes of the uuid, in which the images written here carry the start of the SHA-256 of all else. */
export const SEAL_BYTES = 16;

/** Puts the seal in the uuid, then the checksum: the last change of the first block. */
export function sealSuperblock(block: Uint8Array, seal: Uint8Array): void {
  assert(block.length === EROFS_BLOCK && seal.length >= SEAL_BYTES, "a block and a hash");
  block.set(seal.subarray(0, SEAL_BYTES), UUID_OFFSET);
  const view = new DataView(block.buffer, block.byteOffset);
  view.setUint32(CHECKSUM_OFFSET, 0, true);
  view.setUint32(CHECKSUM_OFFSET, checksum(block), true);
}

/** The first block as it was before {@link sealSuperblock}, which is what the seal is computed over. */
export function unsealSuperblock(block: Uint8Array): { readonly block: Uint8Array; readonly seal: Uint8Array } {
  const copy = new Uint8Array(block); // slice() of a Buffer would be no copy
  const seal = copy.slice(UUID_OFFSET, UUID_OFFSET + SEAL_BYTES);
  copy.fill(0, UUID_OFFSET, UUID_OFFSET + SEAL_BYTES).fill(0, CHECKSUM_OFFSET, CHECKSUM_OFFSET + 4);
  return { block: copy, seal };
}

/** Reads what {@link writeSuperblock} wrote; says what is wrong with any other block. */
export function readSuperblock(
  block: Uint8Array,
):
  | { readonly ok: true; readonly blocks: number; readonly inodes: number }
  | { readonly ok: false; readonly problem: string } {
  if (block.length < EROFS_BLOCK) return { ok: false, problem: "is shorter than a block" };
  const view = new DataView(block.buffer, block.byteOffset);
  if (view.getUint32(SUPER_OFFSET, true) !== MAGIC) return { ok: false, problem: "is not an EROFS image" };
  const copy = new Uint8Array(block.subarray(0, EROFS_BLOCK));
  copy.fill(0, CHECKSUM_OFFSET, CHECKSUM_OFFSET + 4);
  if (checksum(copy) !== view.getUint32(CHECKSUM_OFFSET, true)) {
    return { ok: false, problem: "the checksum of its superblock is wrong" };
  }
  const inodes = Number(view.getBigUint64(SUPER_OFFSET + 16, true));
  return { ok: true, blocks: view.getUint32(SUPER_OFFSET + 36, true), inodes };
}

/** CRC-32C as the kernel computes it: not inverted at the end. */
function checksum(block: Uint8Array): number {
  return ~crc32c(0, block, SUPER_OFFSET) >>> 0;
}
