import type { Checksum, ObjectType, Xattr } from "../core/objects.ts";
import type { Metadata } from "../core/variant.ts";

/** How to open a repository. */
export interface OpenOptions {
  /** How long to wait for another process's lock. Default 300,000 ms, as upstream. */
  readonly lockTimeoutMs?: number;
}

/** How to make a repository. */
export interface InitOptions extends OpenOptions {
  readonly mode: "archive" | "bare";
  /** `[core] collection-id`. */
  readonly collectionId?: string;
  /** Keys of further sections, for example `{ core: { "min-free-space-percent": "0" } }`. */
  readonly config?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** What a commit's filter sees of each path before it is committed. */
export interface TreeEntry {
  /** Absolute in the tree, `/` for the root. */
  readonly path: string;
  readonly kind: "dir" | "file" | "symlink";
  readonly uid: number;
  readonly gid: number;
  /** With the type bits. */
  readonly mode: number;
  readonly xattrs: readonly Xattr[];
}

/** What a filter may change; undefined leaves the entry (and for a directory all below it) out. */
export type TreeFilter = (entry: TreeEntry) => Partial<Pick<TreeEntry, "uid" | "gid" | "mode" | "xattrs">> | "skip";

/** How {@link commitTree} makes a commit. */
export interface CommitTreeOptions {
  /** Moved to the new commit; also recorded in `ostree.ref-binding` unless `bindings` is false. */
  readonly ref?: string;
  readonly subject?: string;
  readonly body?: string;
  /** Written in this order, before the bindings; with `bootable` in the order that upstream's hash table gives it. */
  readonly metadata?: Metadata;
  /** Default: what `ref` points to. `null` for none. */
  readonly parent?: Checksum | null;
  /** Seconds since the epoch. */
  readonly timestamp: number;
  /** Owner of everything. Default: as on disk. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  readonly filter?: TreeFilter;
  /** Default `none`, as `--no-xattrs`. */
  readonly xattrs?: "none" | "keep";
  /** `--bootable`: adds `ostree.bootable` and `ostree.linux` from `/usr/lib/modules`. Default false. */
  readonly bootable?: boolean;
  /** Default true. */
  readonly bindings?: boolean;
  readonly signal?: AbortSignal;
}

/** How {@link checkout} makes a tree. */
export interface CheckoutOptions {
  /** `hardlink` needs a bare repository on the same file system and shares its files: never write into them. */
  readonly mode: "hardlink" | "copy";
  /** Absolute in the commit, such as `/usr/etc`; default `/`. */
  readonly subpath?: string;
  /** Default `true` as root, else `false`: owners as committed, or of this process (upstream's `--user-mode`). */
  readonly owners?: boolean;
  /** Default `none`. */
  readonly xattrs?: "none" | "restore";
  /** fsync everything before the target appears. Default true. */
  readonly fsync?: boolean;
  readonly signal?: AbortSignal;
}

/** One thing that {@link fsck} found. */
export interface FsckProblem {
  readonly kind: "missing" | "corrupt" | "bad-format" | "bad-ref" | "partial";
  readonly type?: ObjectType;
  readonly checksum?: Checksum;
  /** For people: what is wrong. */
  readonly message: string;
  /** Up to eight of the things that need it: refs, commits and paths, such as `main:/usr/bin/x`. */
  readonly neededBy: readonly string[];
}

/** What {@link fsck} looked at and found. */
export interface FsckReport {
  readonly ok: boolean;
  readonly commits: number;
  readonly objects: number;
  readonly partialCommits: number;
  readonly problems: readonly FsckProblem[];
}

/** What {@link prune} keeps. */
export interface PruneOptions {
  /** Commits kept behind each ref: 0 only the tip, -1 all. Default -1, or 0 when `keepYounger` is given. */
  readonly depth?: number;
  /** Commits not older than this (seconds since the epoch) are kept behind each ref whatever the depth. */
  readonly keepYounger?: number;
  /** Further commits to keep, for example those of deployments, with all they need. */
  readonly keep?: readonly Checksum[];
  /** Keeps what interrupted pulls have fetched, so that they can go on. Default true. */
  readonly keepPartial?: boolean;
  /** Deletes; false only counts. Default true. */
  readonly delete?: boolean;
}

/** What {@link prune} did. */
export interface PruneReport {
  readonly objectsTotal: number;
  readonly objectsDeleted: number;
  /** Of files that nothing else links to. */
  readonly bytesFreed: number;
}
