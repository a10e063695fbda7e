import { lstatSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { isChecksum } from "../core/checksum.ts";
import type { Checksum, ObjectType } from "../core/objects.ts";
import { pruneDeltas } from "../delta/files.ts";
import { fsyncPath } from "./durable.ts";
import { fair } from "./fair.ts";
import { loadCommit, walkCommit } from "./load.ts";
import { lockRepo } from "./lock.ts";
import type { PruneOptions, PruneReport } from "./options.ts";
import type { LooseObject, Repo } from "./port.ts";
import { listMirrorCommits } from "./refs.ts";

/**
 * Removes what nothing needs: commits that no ref, `keep` or partial pull holds, and objects that no such commit needs.
 * Waits for running transactions (upstream's too) and keeps new ones waiting. Commits go first, so that a crash leaves only
 * objects that nothing needs.
 *
 * @throws {OstreeNotFoundError | OstreeCorruptError} a commit to be kept is damaged: nothing is removed; see `fsck`
 * @throws {OstreeLockedError}
 */
export async function prune(repo: Repo, options: PruneOptions = {}): Promise<PruneReport> {
  using _lock = await lockRepo(repo, "exclusive");
  const needed = new Set<string>();
  const commits = new Set<Checksum>();
  for (const root of await rootsOf(repo, options)) await keepHistory(repo, root, options, needed, commits);
  const partial = partialCommits(repo);
  if (options.keepPartial !== false) {
    for (const commit of partial) await keepPartial(repo, commit, needed, commits);
  }
  const garbage: LooseObject[] = [];
  let objectsTotal = 0;
  for await (const object of repo.objects()) {
    objectsTotal++;
    const { type, checksum } = object;
    const kept = type === "commitmeta" ? commits.has(checksum) : needed.has(`${checksum}.${type}`);
    if (!kept) garbage.push(object);
  }
  const dry = options.delete === false;
  const bytesFreed = await remove(repo, garbage, dry);
  if (!dry) {
    for (const commit of partial) if (!commits.has(commit)) rmSync(partialPath(repo, commit), { force: true });
    await pruneDeltas(repo, (commit) => commits.has(commit));
  }
  return { objectsTotal, objectsDeleted: garbage.length, bytesFreed };
}

interface Root {
  readonly commit: Checksum;
  readonly depth: number;
}

async function rootsOf(repo: Repo, options: PruneOptions): Promise<Root[]> {
  const refDepth = options.depth ?? (options.keepYounger === undefined ? -1 : 0);
  const refs = [...(await repo.refs()).values(), ...listMirrorCommits(repo.path)];
  return [
    ...refs.map((commit) => ({ commit, depth: refDepth < 0 ? Number.POSITIVE_INFINITY : refDepth })),
    // Only the commit itself: what it was made from is held by refs or not at all.
    ...(options.keep ?? []).map((commit) => ({ commit, depth: 0 })),
  ];
}

async function keepHistory(
  repo: Repo,
  root: Root,
  options: PruneOptions,
  needed: Set<string>,
  commits: Set<Checksum>,
): Promise<void> {
  let commit: Checksum | undefined = root.commit;
  for (let distance = 0; commit !== undefined; distance++) {
    // History may be cut off where it was pulled only so far.
    if (distance > 0 && !(await repo.has("commit", commit))) return;
    const { parent, timestamp }: { parent?: Checksum; timestamp: number } = await loadCommit(repo, commit);
    const young = options.keepYounger !== undefined && timestamp >= options.keepYounger;
    if (distance > root.depth && !young) return;
    commits.add(commit);
    if (await repo.isPartial(commit)) await keepPartial(repo, commit, needed, commits);
    else for await (const { type, checksum } of walkCommit(repo, commit, needed)) needed.add(`${checksum}.${type}`);
    commit = parent;
  }
}

async function keepPartial(repo: Repo, commit: Checksum, needed: Set<string>, commits: Set<Checksum>): Promise<void> {
  commits.add(commit);
  // With a set of its own: what a whole commit needs must not be taken for walked when a part of it is missing here.
  const seen = new Set<string>();
  for await (const { type, checksum } of walkCommit(repo, commit, seen, "skip")) {
    needed.add(`${checksum}.${type}`);
  }
}

function partialPath(repo: Repo, commit: Checksum): string {
  return join(repo.path, "state", `${commit}.commitpartial`);
}

function partialCommits(repo: Repo): Checksum[] {
  try {
    return readdirSync(join(repo.path, "state"))
      .filter((name) => name.endsWith(".commitpartial"))
      .map((name) => name.slice(0, -".commitpartial".length))
      .filter(isChecksum);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Who needs others goes before them. */
const ORDER: readonly ObjectType[] = ["commit", "commitmeta", "dirtree", "dirmeta", "file"];

async function remove(repo: Repo, garbage: readonly LooseObject[], dry: boolean): Promise<number> {
  let bytes = 0;
  for (const type of ORDER) {
    const directories = new Set<string>();
    for (const object of garbage) {
      if (object.type !== type) continue;
      await fair();
      const path = repo.objectPath(type, object.checksum);
      const stat = lstatSync(path, { throwIfNoEntry: false });
      // What a deployment links to stays on the disk.
      if (stat?.nlink === 1) bytes += stat.size;
      if (!dry) rmSync(path, { force: true });
      directories.add(dirname(path));
    }
    if (dry || type !== "commit" || !repo.config.fsync) continue;
    for (const directory of directories) await fsyncPath(directory);
  }
  return bytes;
}
