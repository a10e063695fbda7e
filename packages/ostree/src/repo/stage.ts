import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { lockFile, tryLock } from "./lock.ts";

const PREFIX = "keelson-stage-";

/** A folder below `<repo>/tmp` for objects that are not published yet. */
export interface Stage extends AsyncDisposable {
  readonly path: string;
}

/** Makes a stage, and removes those whose owners died. */
export async function openStage(repo: string, timeoutMs: number): Promise<Stage> {
  const tmp = join(repo, "tmp");
  await mkdir(tmp, { recursive: true });
  // Held only while stages are made and swept, so that none is swept between its mkdir and its lock.
  using _door = await lockFile(join(tmp, ".keelson-stages"), "exclusive", timeoutMs);
  // A crash can leave the folder, its lock, or both.
  const stages = (await readdir(tmp))
    .filter((name) => name.startsWith(PREFIX))
    .map((name) => name.replace(/\.lock$/, ""));
  for (const name of new Set(stages)) await sweep(join(tmp, name));
  const path = join(tmp, PREFIX + randomBytes(8).toString("hex"));
  const lock = tryLock(`${path}.lock`, "exclusive");
  await mkdir(path);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true });
      await rm(`${path}.lock`, { force: true });
      lock?.[Symbol.dispose]();
    },
  };
}

async function sweep(path: string): Promise<void> {
  using lock = tryLock(`${path}.lock`, "exclusive");
  if (lock === undefined) return;
  await rm(path, { recursive: true, force: true });
  await rm(`${path}.lock`, { force: true });
}
