import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { checkChecksum, isChecksum } from "../core/checksum.ts";
import type { Checksum } from "../core/objects.ts";
import type { Repo } from "../repo/port.ts";

/** Folder of the repository that holds our deltas; upstream's programs do not look at it. */
export const DELTA_FOLDER = "deltas-keelson";

/** What deltas in the making are called, in `tmp`. */
export const DELTA_WORK_PREFIX = "keelson-delta-";

/** Path of a delta below the repository, also for a URL: `deltas-keelson/<to>/<from or none>.delta`. */
export function deltaPath(from: Checksum | undefined, to: Checksum): string {
  checkChecksum(to);
  if (from !== undefined) checkChecksum(from);
  return `${DELTA_FOLDER}/${to}/${from ?? "none"}.delta`;
}

/** Deltas that are there. */
export async function listDeltas(repo: Repo): Promise<{ readonly from?: Checksum; readonly to: Checksum }[]> {
  const deltas: { from?: Checksum; to: Checksum }[] = [];
  for (const to of (await namesIn(join(repo.path, DELTA_FOLDER))).filter(isChecksum)) {
    for (const name of await namesIn(join(repo.path, DELTA_FOLDER, to))) {
      const from = /^([0-9a-f]{64}|none)\.delta$/.exec(name)?.[1];
      if (from !== undefined) deltas.push({ to, ...(from !== "none" && { from }) });
    }
  }
  return deltas;
}

/**
 * Removes deltas to commits that are not kept (a delta from a commit that went may still serve those who have it), and what
 * was left of deltas whose making was killed. The caller has the repository alone, so that none is in the making.
 */
export async function pruneDeltas(repo: Repo, isKept: (commit: Checksum) => boolean): Promise<void> {
  for (const { to } of await listDeltas(repo)) {
    if (!isKept(to)) await rm(join(repo.path, DELTA_FOLDER, to), { recursive: true, force: true });
  }
  for (const name of await namesIn(join(repo.path, "tmp"))) {
    if (name.startsWith(DELTA_WORK_PREFIX)) await rm(join(repo.path, "tmp", name), { force: true });
  }
}

async function namesIn(path: string): Promise<string[]> {
  return existsSync(path) ? (await readdir(path)).sort() : [];
}
