import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, type Stats } from "node:fs";
import { join } from "node:path";
import { type Checksum, type DirMeta, type FileHeader, S_IFLNK, S_IFMT, S_IFREG } from "../core/objects.ts";
import { fair } from "../repo/fair.ts";
import { FileHasher } from "../repo/hash.ts";
import { loadCommit, loadDirMeta, loadDirTree } from "../repo/load.ts";
import { readXattrs } from "../repo/native.ts";
import type { Repo } from "../repo/port.ts";

/** How much of a tree {@link verifyTree} reads. */
export interface VerifyOptions {
  /**
   * `full` (default) reads every file; `sample` reads every n-th and looks at names, kinds, owners and modes of all. Hard links
   * share an inode, which is read once.
   */
  readonly mode?: "full" | "sample";
  /** Of how many inodes `sample` reads one. Default 16. */
  readonly sampleEvery?: number;
  /** Which of them: another number, other inodes. Default 0. */
  readonly sampleSeed?: number;
  /** Names at the tree's root that are not the commit's, such as a deployment's `etc`. */
  readonly ignore?: readonly string[];
  readonly signal?: AbortSignal;
}

/** What {@link verifyTree} found. */
export interface VerifyReport {
  readonly ok: boolean;
  readonly dirs: number;
  readonly files: number;
  readonly filesRead: number;
  readonly bytesRead: number;
  /** The first {@link PROBLEMS_MAX}, for people: path and what is wrong. */
  readonly problems: readonly string[];
}

/** Problems reported; a tree with so many is bad enough. */
export const PROBLEMS_MAX = 20;
const SAMPLE_EVERY = 16;

/** Compares a checked out tree with its commit: nothing missing, nothing more, every byte, mode, owner and link target. */
export async function verifyTree(
  repo: Repo,
  commit: Checksum,
  treeDir: string,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const verifier = new TreeVerifier(repo, options);
  const { rootTree, rootMeta } = await loadCommit(repo, commit);
  await verifier.directory(treeDir, "/", rootTree, rootMeta);
  return verifier.report();
}

class TreeVerifier {
  readonly #repo: Repo;
  readonly #options: VerifyOptions;
  readonly #problems: string[] = [];
  /** Inode to the checksum its content and owner were found to have. */
  readonly #read = new Map<number, Checksum>();
  readonly #buffer = Buffer.alloc(256 * 1024);
  #dirs = 0;
  #files = 0;
  #filesRead = 0;
  #bytesRead = 0;

  constructor(repo: Repo, options: VerifyOptions) {
    this.#repo = repo;
    this.#options = options;
  }

  report(): VerifyReport {
    return {
      ok: this.#problems.length === 0,
      dirs: this.#dirs,
      files: this.#files,
      filesRead: this.#filesRead,
      bytesRead: this.#bytesRead,
      problems: this.#problems,
    };
  }

  async directory(path: string, shown: string, tree: Checksum, meta: Checksum): Promise<void> {
    this.#options.signal?.throwIfAborted();
    this.#dirs++;
    const stat = lstatSync(path);
    if (!stat.isDirectory()) return this.#problem(shown, "is no directory");
    this.#compareDirMeta(shown, stat, await loadDirMeta(this.#repo, meta));
    const { files, dirs } = await loadDirTree(this.#repo, tree);
    const present = new Set(readdirSync(path));
    if (shown === "/") for (const name of this.#options.ignore ?? []) present.delete(name);
    for (const [name, checksum] of files) {
      await fair();
      if (!present.delete(name)) this.#problem(below(shown, name), "is missing");
      else await this.#file(join(path, name), below(shown, name), checksum);
    }
    for (const [name, subTree, subMeta] of dirs) {
      if (!present.delete(name)) this.#problem(below(shown, name), "is missing");
      else await this.directory(join(path, name), below(shown, name), subTree, subMeta);
    }
    for (const name of present) this.#problem(below(shown, name), "is not in the commit");
  }

  #compareDirMeta(shown: string, stat: Stats, meta: DirMeta): void {
    if (stat.mode !== meta.mode) this.#problem(shown, `has mode ${octal(stat.mode)}, not ${octal(meta.mode)}`);
    if (stat.uid !== meta.uid || stat.gid !== meta.gid) {
      this.#problem(shown, `belongs to ${stat.uid}:${stat.gid}, not ${meta.uid}:${meta.gid}`);
    }
  }

  async #file(path: string, shown: string, checksum: Checksum): Promise<void> {
    this.#files++;
    const stat = lstatSync(path);
    const type = stat.mode & S_IFMT;
    if (type !== S_IFREG && type !== S_IFLNK) return this.#problem(shown, "is neither a file nor a symlink");
    const known = this.#read.get(stat.ino);
    if (known !== undefined) {
      if (known !== checksum) this.#problem(shown, `has the checksum ${known}, not ${checksum}`);
      return;
    }
    if (type === S_IFREG && !this.#isSampled(stat.ino)) return await this.#compareStat(stat, shown, checksum);
    const actual = await this.#checksum(path, stat, checksum);
    this.#read.set(stat.ino, actual);
    if (actual !== checksum) this.#problem(shown, `has the checksum ${actual}, not ${checksum}`);
  }

  /** Without the content: a file that is the object itself needs no look; one that was copied has its size, mode and owner. */
  async #compareStat(stat: Stats, shown: string, checksum: Checksum): Promise<void> {
    const object = lstatSync(this.#repo.objectPath("file", checksum), { throwIfNoEntry: false });
    if (object === undefined) return this.#problem(shown, `has no object ${checksum} in the repository any more`);
    if (object.ino === stat.ino && object.dev === stat.dev) return;
    const { header, size } = await this.#repo.readFile(checksum);
    const { uid, gid, mode } = header;
    if (stat.size !== size) this.#problem(shown, `has ${stat.size} bytes, not ${size}`);
    if (stat.mode !== mode) this.#problem(shown, `has mode ${octal(stat.mode)}, not ${octal(mode)}`);
    if (stat.uid === uid && stat.gid === gid) return;
    this.#problem(shown, `belongs to ${stat.uid}:${stat.gid}, not ${uid}:${gid}`);
  }

  #isSampled(inode: number): boolean {
    if (this.#options.mode !== "sample") return true;
    // Neighbours in one directory have neighbouring inodes: multiply, so that a sample is spread over all.
    const mixed = Math.imul(inode ^ (this.#options.sampleSeed ?? 0), 0x9e3779b1) >>> 0;
    return mixed % (this.#options.sampleEvery ?? SAMPLE_EVERY) === 0;
  }

  async #checksum(path: string, stat: Stats, expected: Checksum): Promise<Checksum> {
    this.#filesRead++;
    const isLink = (stat.mode & S_IFMT) === S_IFLNK;
    const header: FileHeader = {
      uid: stat.uid,
      gid: stat.gid,
      mode: stat.mode,
      symlinkTarget: isLink ? readlinkSync(path) : "",
      xattrs: await this.#xattrs(path, expected),
    };
    const hasher = new FileHasher(header);
    if (!isLink) await this.#readInto(hasher, path);
    return hasher.digest();
  }

  async #readInto(hasher: FileHasher, path: string): Promise<void> {
    const fd = openSync(path, "r");
    try {
      for (let read = -1; read !== 0; ) {
        await fair();
        this.#options.signal?.throwIfAborted();
        read = readSync(fd, this.#buffer);
        hasher.update(this.#buffer.subarray(0, read));
      }
    } finally {
      closeSync(fd);
    }
    this.#bytesRead += hasher.bytes;
  }

  /** Commits made without xattrs say nothing of those that a file system adds on its own, such as SELinux labels. */
  async #xattrs(path: string, expected: Checksum): Promise<FileHeader["xattrs"]> {
    const { header } = await this.#repo.readFile(expected);
    if (header.xattrs.length === 0) return [];
    const names = new Set(header.xattrs.map((xattr) => xattr.name));
    return readXattrs(path).filter((xattr) => names.has(xattr.name));
  }

  #problem(shown: string, what: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(`${shown} ${what}`);
  }
}

function below(dir: string, name: string): string {
  return dir === "/" ? `/${name}` : `${dir}/${name}`;
}

function octal(mode: number): string {
  return `0${mode.toString(8)}`;
}
