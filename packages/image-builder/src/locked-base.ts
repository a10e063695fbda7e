import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BaseLayer, buildBase } from "./base.ts";
import type { ImageDefinition } from "./definition.ts";
import { compareLock, formatLock, judgeChanges, type PackageLock, parseLock } from "./lock.ts";
import { resolveMirror } from "./mirror.ts";
import type { Progress } from "./progress.ts";

const LOCK_FILE = "packages.lock.json";

interface LockedBaseOptions {
  readonly cacheDir: string;
  readonly progress: Progress;
  readonly mirror?: string | undefined;
  readonly snapshot?: string | undefined;
  readonly updateLock?: boolean;
  readonly frozen?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The base of the locked packages. Compares what the mirror gave with the lock file; writes the lock file when there
 * is none or a new one was asked for. `ownSuite` is the suite that `image/` names.
 * @throws {PackageLockError} when the differences are not to be accepted
 */
export async function buildLockedBase(
  definition: ImageDefinition,
  ownSuite: string,
  options: LockedBaseOptions,
): Promise<BaseLayer> {
  const { cacheDir, progress } = options;
  const lockPath = join(definition.directory, LOCK_FILE);
  const lockFile = await readLock(lockPath);
  // Another suite than the locked one is an experiment: its versions are neither compared nor recorded.
  const isLockedSuite = definition.settings.suite === (lockFile?.suite ?? ownSuite);
  const lock = isLockedSuite && options.updateLock !== true ? lockFile : undefined;
  const { signal } = options;
  const base = await buildBase({ definition, cacheDir, lock, mirror: () => resolveMirror(options), progress, signal });
  if (base.fromCache) progress.step("take the Debian packages from the cache");
  if (lock === undefined && isLockedSuite) {
    await replaceFile(lockPath, formatLock(base.lock));
    progress.detail(`wrote ${lockPath}: ${Object.keys(base.lock.packages).length} packages`);
  } else if (lock !== undefined) {
    const warnings = judgeChanges(compareLock(lock, base.lock), { frozen: options.frozen ?? false });
    for (const warning of warnings) progress.warn(warning);
    if (warnings.length > 0) progress.warn("to record these versions: osctl build --update-lock");
  }
  return base;
}

async function readLock(path: string): Promise<PackageLock | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return text === undefined ? undefined : parseLock(text, path);
}

async function replaceFile(path: string, content: string): Promise<void> {
  await writeFile(`${path}.${process.pid}`, content);
  await rename(`${path}.${process.pid}`, path);
}
