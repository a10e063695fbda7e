import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { rename, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, dirname, join } from "node:path";
import { OstreeNotFoundError, OstreeTreeError } from "../core/errors.ts";
import { type Checksum, type DirMeta, type FileHeader, S_IFLNK, S_IFMT } from "../core/objects.ts";
import { forEachParallel, fsyncPath, syncFiles } from "./durable.ts";
import { fair } from "./fair.ts";
import { loadCommit, loadDirMeta, loadDirTree } from "./load.ts";
import { writeXattrs } from "./native.ts";
import type { CheckoutOptions } from "./options.ts";
import type { Repo } from "./port.ts";
import { spaceError } from "./space.ts";
import { writeAll } from "./write-object.ts";

const FILES_PARALLEL = Math.max(4, 2 * availableParallelism());

/** What a checkout made. */
export interface CheckoutResult {
  readonly files: number;
  readonly dirs: number;
  /** Of the files, those that share their inode with the repository. */
  readonly linked: number;
}

/**
 * Makes a commit's tree (or a part of it) at `target`, which must not exist. It is made beside `target`, synced, and
 * renamed: a crash leaves all of it or nothing but a `.tmp-` folder. Files that are copied are verified.
 *
 * @throws {OstreeNotFoundError | OstreeCorruptError | OstreeTreeError | OstreeSpaceError}
 */
export async function checkout(
  repo: Repo,
  commit: Checksum,
  target: string,
  options: CheckoutOptions,
): Promise<CheckoutResult> {
  if (options.mode === "hardlink" && repo.mode !== "bare") {
    throw new OstreeTreeError(`files of an archive cannot be linked: check out of ${repo.path} with mode copy`);
  }
  if (lstatSync(target, { throwIfNoEntry: false }) !== undefined) {
    throw new OstreeTreeError(`${target} exists already`, { target });
  }
  const root = await findDirectory(repo, commit, options.subpath ?? "/");
  const temporary = join(dirname(target), `.tmp-${basename(target).slice(0, 100)}-${randomBytes(6).toString("hex")}`);
  const run = new Checkout(repo, options);
  try {
    const result = await run.make(root, temporary);
    if (options.fsync !== false) await syncFiles(temporary, run.written);
    await rename(temporary, target);
    if (options.fsync !== false) await fsyncPath(dirname(target));
    return result;
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    throw spaceError(target, cause);
  }
}

interface TreeRef {
  readonly tree: Checksum;
  readonly meta: Checksum;
}

async function findDirectory(repo: Repo, commit: Checksum, subpath: string): Promise<TreeRef> {
  const { rootTree, rootMeta } = await loadCommit(repo, commit);
  let at: TreeRef = { tree: rootTree, meta: rootMeta };
  for (const part of subpath.split("/").filter((name) => name !== "")) {
    const found = (await loadDirTree(repo, at.tree)).dirs.find(([name]) => name === part);
    if (found === undefined) {
      throw new OstreeNotFoundError(`commit ${commit} has no directory ${subpath}`, { commit, subpath });
    }
    at = { tree: found[1], meta: found[2] };
  }
  return at;
}

interface FileTask {
  readonly path: string;
  readonly file: Checksum;
}

class Checkout {
  /** What must be synced one by one where the whole file system cannot be. */
  readonly written: string[] = [];
  readonly #repo: Repo;
  readonly #options: CheckoutOptions;
  readonly #owners: boolean;
  readonly #metas = new Map<Checksum, DirMeta>();
  #linked = 0;

  constructor(repo: Repo, options: CheckoutOptions) {
    this.#repo = repo;
    this.#options = options;
    this.#owners = options.owners ?? process.getuid?.() === 0;
  }

  async make(root: TreeRef, path: string): Promise<CheckoutResult> {
    const files: FileTask[] = [];
    const dirs: [path: string, meta: DirMeta][] = [];
    await this.#directories(root, path, files, dirs);
    if (this.#options.mode === "hardlink") {
      for (const { path: at, file } of files) {
        const turn = fair();
        if (turn !== undefined) await turn;
        this.#options.signal?.throwIfAborted();
        if (!this.#link(at, file)) await this.#copy(at, file);
      }
    } else {
      await forEachParallel(FILES_PARALLEL, files, async ({ path: at, file }) => {
        await fair();
        this.#options.signal?.throwIfAborted();
        await this.#copy(at, file);
      });
    }
    // From the leaves up, since a directory may be read-only and its time changes with its entries.
    for (const [at, meta] of dirs.toReversed()) this.#finishDirectory(at, meta);
    return { files: files.length, dirs: dirs.length, linked: this.#linked };
  }

  async #directories(
    { tree, meta }: TreeRef,
    path: string,
    files: FileTask[],
    dirs: [string, DirMeta][],
  ): Promise<void> {
    await fair();
    mkdirSync(path, 0o700);
    dirs.push([path, await this.#meta(meta)]);
    this.written.push(path);
    const entries = await loadDirTree(this.#repo, tree);
    for (const [name, file] of entries.files) files.push({ path: `${path}/${name}`, file });
    for (const [name, subtree, submeta] of entries.dirs) {
      await this.#directories({ tree: subtree, meta: submeta }, `${path}/${name}`, files, dirs);
    }
  }

  async #meta(checksum: Checksum): Promise<DirMeta> {
    const known = this.#metas.get(checksum);
    if (known !== undefined) return known;
    const meta = await loadDirMeta(this.#repo, checksum);
    this.#metas.set(checksum, meta);
    return meta;
  }

  #finishDirectory(path: string, meta: DirMeta): void {
    if (this.#owners) chownSync(path, meta.uid, meta.gid);
    chmodSync(path, this.#owners ? meta.mode & 0o7777 : (meta.mode & 0o1777) | 0o700);
    if (this.#options.xattrs === "restore") writeXattrs(path, meta.xattrs);
    utimesSync(path, new Date(), 0);
  }

  /** False when the file has as many links as the file system allows: then it is copied, as upstream does. */
  #link(path: string, file: Checksum): boolean {
    try {
      linkSync(this.#repo.objectPath("file", file), path);
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code;
      if (code === "EMLINK") return false;
      if (code === "ENOENT") throw new OstreeNotFoundError(`no file object ${file}`, { checksum: file }, { cause });
      if (code !== "EXDEV") throw cause;
      throw new OstreeTreeError(`${path} is on another file system than ${this.#repo.path}`, { path }, { cause });
    }
    this.#linked++;
    return true;
  }

  async #copy(path: string, checksum: Checksum): Promise<void> {
    const file = await this.#repo.readFile(checksum);
    const { header } = file;
    if ((header.mode & S_IFMT) === S_IFLNK) {
      // Read to the end so that its checksum is verified too.
      for await (const _chunk of file.content()) continue;
      symlinkSync(header.symlinkTarget, path);
      if (this.#owners) lchownSync(path, header.uid, header.gid);
      if (this.#options.xattrs === "restore") writeXattrs(path, header.xattrs);
      return;
    }
    const fd = openSync(path, "wx", 0o600);
    try {
      for await (const chunk of file.content()) writeAll(fd, chunk);
      this.#finishFile(fd, path, header);
    } finally {
      closeSync(fd);
    }
    this.written.push(path);
  }

  #finishFile(fd: number, path: string, header: FileHeader): void {
    if (this.#owners) fchownSync(fd, header.uid, header.gid);
    // Never setuid for another owner than the committed one.
    fchmodSync(fd, header.mode & (this.#owners ? 0o7777 : 0o777));
    if (this.#options.xattrs === "restore") writeXattrs(path, header.xattrs);
    futimesSync(fd, new Date(), 0);
  }
}
