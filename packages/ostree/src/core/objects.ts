import type { Metadata } from "./variant.ts";

/** SHA-256 as 64 lower-case hex digits. */
export type Checksum = string;

/** What an object is. `file` is a regular file or a symlink; `commitmeta` is detached and named by its commit. */
export type ObjectType = "commit" | "dirtree" | "dirmeta" | "file" | "commitmeta";

/** One extended attribute; `name` without the NUL that OSTree writes after it. */
export interface Xattr {
  readonly name: string;
  readonly value: Uint8Array;
}

/** `(a{sv}aya(say)sstayay)`. */
export interface Commit {
  readonly metadata: Metadata;
  /** Undefined for a first commit. */
  readonly parent?: Checksum;
  /** Always empty in practice; kept so that bytes round trip. */
  readonly related: readonly (readonly [name: string, checksum: Checksum])[];
  readonly subject: string;
  readonly body: string;
  /** Seconds since the epoch, UTC. */
  readonly timestamp: number;
  /** The root's dirtree. */
  readonly rootTree: Checksum;
  /** The root's dirmeta. */
  readonly rootMeta: Checksum;
}

/** `(a(say)a(sayay))`, both lists sorted by the bytes of the name. */
export interface DirTree {
  readonly files: readonly (readonly [name: string, file: Checksum])[];
  readonly dirs: readonly (readonly [name: string, tree: Checksum, meta: Checksum])[];
}

/** `(uuua(ayay))`. */
export interface DirMeta {
  readonly uid: number;
  readonly gid: number;
  /** With the type bits, 0o040000. */
  readonly mode: number;
  /** Sorted by name. */
  readonly xattrs: readonly Xattr[];
}

/** `(uuuusa(ayay))`: what a file object has before its content. */
export interface FileHeader {
  readonly uid: number;
  readonly gid: number;
  /** With the type bits: 0o100000 for a file, 0o120000 for a symlink. */
  readonly mode: number;
  /** Empty for a regular file. */
  readonly symlinkTarget: string;
  /** Sorted by name. */
  readonly xattrs: readonly Xattr[];
}

/** Type bits of `mode`. */
export const S_IFMT = 0o170000;
/** A directory. */
export const S_IFDIR = 0o040000;
/** A regular file. */
export const S_IFREG = 0o100000;
/** A symbolic link. */
export const S_IFLNK = 0o120000;
