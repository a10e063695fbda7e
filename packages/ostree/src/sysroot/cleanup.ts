import type { Checksum } from "../core/objects.ts";
import type { Repo } from "../repo/port.ts";
import { prune } from "../repo/prune.ts";
import { writeRef } from "../repo/refs.ts";
import { DEPLOYMENT_REFS, type SysrootPaths } from "./layout.ts";
import type { FoundDeployment } from "./list.ts";
import { removeDeployment, removeLeftovers } from "./remove.ts";

/** What stays, beside the booted deployment and pinned ones. */
export interface CleanupOptions {
  /**
   * Deployments, by id: all that a boot entry points to, be it the default, the one to roll back to or a trial. Commits, by
   * checksum: their objects stay, and deployments of them. Without it, the newest staged and the two newest finalized deployments stay.
   */
  readonly keep?: readonly string[];
}

/** What {@link cleanupSysroot} removed. */
export interface CleanupReport {
  /** Ids of deployments. */
  readonly undeployed: readonly string[];
  /** Names of what interrupted work had left. */
  readonly leftovers: readonly string[];
  readonly objectsDeleted: number;
  readonly bytesFreed: number;
}

/** Removes deployments that nothing needs, then objects that no deployment needs. */
export async function cleanupSysroot(
  paths: SysrootPaths,
  repo: Repo,
  deployments: readonly FoundDeployment[],
  options: CleanupOptions,
): Promise<CleanupReport> {
  const keep = new Set(options.keep ?? newestIds(deployments));
  const isKept = ({ id, checksum, booted, pinned }: FoundDeployment) =>
    booted || pinned || keep.has(id) || keep.has(checksum);
  const doomed = deployments.filter((deployment) => !isKept(deployment));
  const kept = deployments.filter(isKept);
  for (const { id } of doomed) await removeDeployment(paths, id);
  const ids = new Set(kept.map(({ id }) => id));
  const leftovers = await removeLeftovers(paths, (id) => ids.has(id));
  const commits = new Set([...kept.map(({ checksum }) => checksum), ...keep]);
  await removeRefs(repo, ids, commits);
  const wanted: Checksum[] = [];
  for (const commit of commits)
    if (/^[0-9a-f]{64}$/.test(commit) && (await repo.has("commit", commit))) wanted.push(commit);
  const { objectsDeleted, bytesFreed } = await prune(repo, { depth: 0, keep: wanted, keepPartial: false });
  return { undeployed: doomed.map(({ id }) => id), leftovers, objectsDeleted, bytesFreed };
}

/** What a caller that says nothing most likely needs: what is being made, what is to be booted next, and what was before. */
function newestIds(deployments: readonly FoundDeployment[]): string[] {
  const staged = deployments.filter((deployment) => deployment.staged);
  const finalized = deployments.filter((deployment) => !deployment.staged);
  return [...staged.slice(0, 1), ...finalized.slice(0, 2)].map(({ id }) => id);
}

/** Refs of deployments that are gone, and of remotes' commits that no deployment uses; branches made here stay. */
async function removeRefs(repo: Repo, ids: ReadonlySet<string>, commits: ReadonlySet<string>): Promise<void> {
  for (const [ref, commit] of await repo.refs()) {
    const id = ref.startsWith(`${DEPLOYMENT_REFS}/`) ? ref.slice(DEPLOYMENT_REFS.length + 1) : undefined;
    const isDoomed = id === undefined ? ref.includes(":") && !commits.has(commit) : !ids.has(id);
    // Without a transaction, which needs room on a disk that may have none.
    if (isDoomed) await writeRef(repo.path, ref, undefined, repo.config.fsync);
  }
}
