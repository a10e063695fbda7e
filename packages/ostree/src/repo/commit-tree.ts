import { createReadStream, lstatSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { commitMetadata } from "../core/commit-metadata.ts";
import { encodeCommit, encodeDirMeta, encodeDirTree } from "../core/encode.ts";
import { OstreeTreeError } from "../core/errors.ts";
import { checkRefName, compareNames } from "../core/names.ts";
import { type Checksum, type FileHeader, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, type Xattr } from "../core/objects.ts";
import { forEachParallel } from "./durable.ts";
import { fair } from "./fair.ts";
import { FileHasher } from "./hash.ts";
import { readXattrs } from "./native.ts";
import type { CommitTreeOptions, TreeEntry } from "./options.ts";
import type { Repo, RepoTransaction, TransactionStats } from "./port.ts";
import { CHUNK_BYTES, headerOfFile, WHOLE_BYTES_MAX } from "./read-file.ts";

/** Files at once: enough to keep the compressing threads busy. Memory is bounded by this times {@link WHOLE_BYTES_MAX}. */
const FILES_PARALLEL = Math.max(4, 2 * availableParallelism());
const DEPTH_MAX = 256;

/** A file that is to be committed, and where its checksum goes. */
interface FileTask {
  readonly path: string;
  readonly treePath: string;
  readonly header: FileHeader;
  readonly size: number;
  readonly directory: Directory;
  readonly name: string;
}

/** A directory that is to be committed. */
interface Directory {
  readonly meta: Checksum;
  readonly files: [name: string, checksum: Checksum][];
  readonly dirs: [name: string, directory: Directory][];
}

/**
 * Commits a directory tree: the same tree, owner and metadata always give the same checksum, and the one that upstream's
 * `ostree commit` gives. Files are streamed. The ref moves last, when everything is durable.
 *
 * @throws {OstreeTreeError} the tree holds what is neither directory, file nor symlink, or a name that is not UTF-8
 */
export async function commitTree(
  repo: Repo,
  treeDir: string,
  options: CommitTreeOptions,
): Promise<{ readonly checksum: Checksum; readonly stats: TransactionStats }> {
  if (options.ref !== undefined) checkRefName(options.ref);
  await using transaction = await repo.transaction();
  const scan = new TreeScan(transaction, options);
  const root = await scan.directory(treeDir, "/", 0);
  if (root === undefined) throw new OstreeTreeError("the filter left nothing of the tree", { treeDir });
  await forEachParallel(FILES_PARALLEL, scan.files, async (task) => {
    await fair();
    options.signal?.throwIfAborted();
    task.directory.files.push([task.name, await writeTask(transaction, task)]);
  });
  const rootTree = await writeTree(transaction, root);
  const parent = options.parent === undefined ? await parentOf(repo, options.ref) : (options.parent ?? undefined);
  const { collectionId } = repo.config;
  const commit = encodeCommit({
    metadata: commitMetadata(options.metadata ?? [], {
      ...(options.bindings !== false && { refs: options.ref === undefined ? [] : [options.ref] }),
      ...(collectionId !== undefined && { collectionId }),
      ...(options.bootable === true && { kernel: kernelOf(root, treeDir) }),
    }),
    ...(parent !== undefined && { parent }),
    related: [],
    subject: options.subject ?? "",
    body: options.body ?? "",
    timestamp: options.timestamp,
    rootTree,
    rootMeta: root.meta,
  });
  const checksum = await transaction.writeMetadata("commit", commit);
  if (options.ref !== undefined) transaction.setRef(options.ref, checksum);
  return { checksum, stats: await transaction.commit() };
}

async function parentOf(repo: Repo, ref: string | undefined): Promise<Checksum | undefined> {
  return ref === undefined ? undefined : await repo.resolve(ref);
}

/** Reads names, owners and modes; content comes later. */
class TreeScan {
  readonly files: FileTask[] = [];
  readonly #transaction: RepoTransaction;
  readonly #options: CommitTreeOptions;

  constructor(transaction: RepoTransaction, options: CommitTreeOptions) {
    this.#transaction = transaction;
    this.#options = options;
  }

  async directory(path: string, treePath: string, depth: number): Promise<Directory | undefined> {
    if (depth > DEPTH_MAX) throw new OstreeTreeError(`${path} is nested too deeply`, { limit: DEPTH_MAX });
    await fair();
    const stat = lstatSync(path);
    if (!stat.isDirectory()) throw new OstreeTreeError(`${path} is not a directory`, { path });
    const { uid, gid, mode } = stat;
    const xattrs = this.#options.xattrs === "keep" ? readXattrs(path) : [];
    const entry = this.#filtered({ path: treePath, kind: "dir", uid, gid, mode, xattrs }, S_IFDIR);
    if (entry === undefined) return undefined;
    const meta = await this.#transaction.writeMetadata("dirmeta", encodeDirMeta(entry));
    const directory: Directory = { meta, files: [], dirs: [] };
    const prefix = treePath === "/" ? "/" : `${treePath}/`;
    for (const name of readdirSync(path).sort(compareNames)) {
      await this.#entry(directory, name, join(path, name), prefix + name, depth);
    }
    return directory;
  }

  async #entry(directory: Directory, name: string, path: string, treePath: string, depth: number): Promise<void> {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) {
      throw new OstreeTreeError(`${path} vanished, or its name is not UTF-8, which OSTree cannot hold`, { path });
    }
    if (stat.isDirectory()) {
      const sub = await this.directory(path, treePath, depth + 1);
      if (sub !== undefined) directory.dirs.push([name, sub]);
      return;
    }
    const header = headerOfFile(path, stat, this.#options.xattrs === "keep");
    if (header === undefined) throw new OstreeTreeError(`${path} is neither a file nor a symlink`, { path });
    const type = header.mode & S_IFMT;
    const kind = type === S_IFREG ? "file" : "symlink";
    const entry = this.#filtered({ path: treePath, kind, ...header }, type);
    if (entry === undefined) return;
    const { symlinkTarget } = header;
    const { uid, gid, mode, xattrs } = entry;
    const size = kind === "file" ? stat.size : 0;
    this.files.push({ path, treePath, header: { uid, gid, mode, xattrs, symlinkTarget }, size, directory, name });
  }

  /** What of an entry is committed; undefined for nothing. */
  #filtered(
    entry: TreeEntry,
    type: number,
  ):
    | { readonly uid: number; readonly gid: number; readonly mode: number; readonly xattrs: readonly Xattr[] }
    | undefined {
    const { owner, filter } = this.#options;
    const owned = owner === undefined ? entry : { ...entry, uid: owner.uid, gid: owner.gid };
    const change = filter?.(owned);
    if (change === "skip") return undefined;
    const { uid, gid, mode, xattrs } = { ...owned, ...change };
    return { uid, gid, mode: (mode & 0o7777) | type, xattrs };
  }
}

async function writeTask(transaction: RepoTransaction, task: FileTask): Promise<Checksum> {
  const { header, path, size } = task;
  if ((header.mode & S_IFMT) === S_IFLNK) return await transaction.writeFile(header, new Uint8Array());
  if (size <= WHOLE_BYTES_MAX) return await transaction.writeFile(header, readFileSync(path));
  // Hashed before it is written: compressing costs twenty times as much, and most large files are there already.
  const hasher = new FileHasher(header);
  for await (const chunk of chunksOf(path)) hasher.update(chunk);
  const expected = hasher.digest();
  if (await transaction.has("file", expected)) return expected;
  return await transaction.writeFile(header, chunksOf(path), { expected });
}

function chunksOf(path: string): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Uint8Array>;
}

async function writeTree(transaction: RepoTransaction, directory: Directory): Promise<Checksum> {
  const dirs: [string, Checksum, Checksum][] = [];
  for (const [name, sub] of directory.dirs) dirs.push([name, await writeTree(transaction, sub), sub.meta]);
  // Files were finished in any order.
  const files = directory.files.sort(([a], [b]) => compareNames(a, b));
  return await transaction.writeMetadata("dirtree", encodeDirTree({ files, dirs }));
}

/** The version of the one kernel in `/usr/lib/modules/<version>/vmlinuz`. */
function kernelOf(root: Directory, treeDir: string): string {
  let modules: Directory | undefined = root;
  for (const name of ["usr", "lib", "modules"]) modules = modules?.dirs.find(([other]) => other === name)?.[1];
  const kernels = (modules?.dirs ?? []).filter(([, { files }]) => files.some(([name]) => name === "vmlinuz"));
  const [kernel] = kernels;
  if (kernel === undefined) throw new OstreeTreeError(`no kernel in ${treeDir}/usr/lib/modules`, { treeDir });
  if (kernels.length > 1) {
    throw new OstreeTreeError(`several kernels in ${treeDir}/usr/lib/modules`, {
      kernels: kernels.map(([name]) => name),
    });
  }
  return kernel[0];
}
