import { availableParallelism } from "node:os";
import { formatErrorChain } from "@keelson/types";
import { decodeMetadata } from "../core/decode.ts";
import { OstreeCorruptError, OstreeFormatError, OstreeNotFoundError } from "../core/errors.ts";
import type { Checksum, ObjectType } from "../core/objects.ts";
import { forEachParallel } from "./durable.ts";
import { fair } from "./fair.ts";
import { loadCommit, loadDirMeta, loadDirTree } from "./load.ts";
import type { FsckProblem, FsckReport } from "./options.ts";
import type { Repo } from "./port.ts";

const FILES_PARALLEL = Math.max(4, 2 * availableParallelism());
/** Of the things that need a bad object, so many are named. */
const NEEDED_BY_MAX = 8;

/** How {@link fsck} looks. */
export interface FsckOptions {
  /** Called now and then with the objects looked at and to look at. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Verifies every object that a commit of the repository needs, referred to or not, and that refs point to commits. Comes
 * to the same verdict as upstream's `ostree fsck`, names all that is wrong instead of the first, and says what needs it. Stricter
 * than upstream with detached metadata, with directories in which a name stands twice, and with what an archive's file header
 * says beside the checksum: size, padding, normal form. Objects that nothing needs are not read.
 */
export async function fsck(repo: Repo, options: FsckOptions = {}): Promise<FsckReport> {
  const run = new Fsck(repo, options);
  await run.commits();
  await run.refs();
  await run.files();
  const problems = await run.problems();
  return {
    ok: problems.every(({ kind }) => kind === "partial"),
    commits: run.whole.length,
    partialCommits: run.partial,
    objects: run.objects,
    problems,
  };
}

type Found = Omit<FsckProblem, "neededBy">;

class Fsck {
  /** Commits that are not partial and could be read. */
  readonly whole: Checksum[] = [];
  partial = 0;
  objects = 0;
  readonly #repo: Repo;
  readonly #options: FsckOptions;
  readonly #found = new Map<string, Found>();
  readonly #seen = new Set<string>();
  readonly #files: Checksum[] = [];

  constructor(repo: Repo, options: FsckOptions) {
    this.#repo = repo;
    this.#options = options;
  }

  async commits(): Promise<void> {
    for await (const { type, checksum } of this.#repo.objects()) {
      if (type === "commitmeta") await this.#commitmeta(checksum);
      if (type !== "commit") continue;
      const commit = await this.#try("commit", checksum, () => loadCommit(this.#repo, checksum));
      if (commit === undefined) continue;
      if (await this.#repo.isPartial(checksum)) {
        this.partial++;
        this.#found.set(`partial ${checksum}`, {
          kind: "partial",
          type: "commit",
          checksum,
          message: `commit ${checksum} was pulled in part only and is not looked into`,
        });
        continue;
      }
      this.whole.push(checksum);
      await this.#dirmeta(commit.rootMeta);
      await this.#trees(commit.rootTree);
    }
  }

  async #trees(root: Checksum): Promise<void> {
    const trees = [root];
    for (let tree = trees.pop(); tree !== undefined; tree = trees.pop()) {
      if (!this.#fresh("dirtree", tree)) continue;
      await this.#turn();
      const checksum = tree;
      const entries = await this.#try("dirtree", checksum, () => loadDirTree(this.#repo, checksum));
      if (entries === undefined) continue;
      for (const [, file] of entries.files) if (this.#fresh("file", file)) this.#files.push(file);
      for (const [, subtree, meta] of entries.dirs) {
        await this.#dirmeta(meta);
        trees.push(subtree);
      }
    }
  }

  async #dirmeta(checksum: Checksum): Promise<void> {
    if (!this.#fresh("dirmeta", checksum)) return;
    await this.#try("dirmeta", checksum, () => loadDirMeta(this.#repo, checksum));
  }

  async #commitmeta(checksum: Checksum): Promise<void> {
    await this.#try("commitmeta", checksum, async () =>
      decodeMetadata(await this.#repo.readMetadata("commitmeta", checksum)),
    );
  }

  async files(): Promise<void> {
    let done = 0;
    await forEachParallel(FILES_PARALLEL, this.#files, async (checksum) => {
      await this.#turn();
      await this.#try("file", checksum, async () => {
        // The content verifies itself at its end.
        for await (const _chunk of (await this.#repo.readFile(checksum)).content()) continue;
      });
      this.#options.onProgress?.(++done, this.#files.length);
    });
  }

  async refs(): Promise<void> {
    for (const [ref, checksum] of await this.#repo.refs()) {
      if (await this.#repo.has("commit", checksum)) continue;
      this.#found.set(`ref ${ref}`, {
        kind: "bad-ref",
        type: "commit",
        checksum,
        message: `ref ${ref} points to the commit ${checksum}, which is missing`,
      });
    }
  }

  #fresh(type: ObjectType, checksum: Checksum): boolean {
    const key = `${checksum}.${type}`;
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    return true;
  }

  async #turn(): Promise<void> {
    this.#options.signal?.throwIfAborted();
    await fair();
  }

  async #try<T>(type: ObjectType, checksum: Checksum, look: () => Promise<T>): Promise<T | undefined> {
    this.objects++;
    try {
      return await look();
    } catch (error) {
      const kind = problemKind(error);
      if (kind === undefined) throw error;
      this.#found.set(`${checksum}.${type}`, { kind, type, checksum, message: formatErrorChain(error) });
      return undefined;
    }
  }

  /** What was found, with what needs it. */
  async problems(): Promise<FsckProblem[]> {
    if (this.#found.size === 0) return [];
    const search = new NeededBy(this.#repo, new Set(this.#found.keys()));
    const names = new Map<Checksum, string>();
    for (const [ref, checksum] of await this.#repo.refs()) names.set(checksum, ref);
    for (const commit of this.whole) await search.commit(commit, names.get(commit) ?? commit);
    return [...this.#found].map(([key, found]) => {
      const ref = found.checksum === undefined ? undefined : names.get(found.checksum);
      return { ...found, neededBy: search.of(key) ?? (ref === undefined ? [] : [ref]) };
    });
  }
}

function problemKind(error: unknown): FsckProblem["kind"] | undefined {
  if (error instanceof OstreeNotFoundError) return "missing";
  if (error instanceof OstreeFormatError) return "bad-format";
  if (!(error instanceof OstreeCorruptError)) return undefined;
  return error.cause instanceof OstreeFormatError ? "bad-format" : "corrupt";
}

/** Finds the paths of bad objects. Walks only once there is one, and no subtree twice that has none. */
class NeededBy {
  readonly #repo: Repo;
  readonly #bad: ReadonlySet<string>;
  readonly #paths = new Map<string, string[]>();
  readonly #clean = new Set<Checksum>();

  constructor(repo: Repo, bad: ReadonlySet<string>) {
    this.#repo = repo;
    this.#bad = bad;
  }

  of(key: string): readonly string[] | undefined {
    return this.#paths.get(key);
  }

  async commit(commit: Checksum, name: string): Promise<void> {
    const { rootTree, rootMeta } = await loadCommit(this.#repo, commit);
    this.#note("dirmeta", rootMeta, `${name}:/`);
    await this.#tree(rootTree, `${name}:/`);
  }

  async #tree(tree: Checksum, path: string): Promise<boolean> {
    if (this.#clean.has(tree)) return false;
    if (this.#note("dirtree", tree, path)) return true;
    const { files, dirs } = await loadDirTree(this.#repo, tree);
    let bad = false;
    for (const [name, file] of files) bad = this.#note("file", file, path + name) || bad;
    for (const [name, subtree, meta] of dirs) {
      bad = this.#note("dirmeta", meta, `${path}${name}/`) || bad;
      bad = (await this.#tree(subtree, `${path}${name}/`)) || bad;
    }
    if (!bad) this.#clean.add(tree);
    return bad;
  }

  #note(type: ObjectType, checksum: Checksum, path: string): boolean {
    const key = `${checksum}.${type}`;
    if (!this.#bad.has(key)) return false;
    const paths = this.#paths.get(key) ?? [];
    if (paths.length < NEEDED_BY_MAX) paths.push(path);
    this.#paths.set(key, paths);
    return true;
  }
}
