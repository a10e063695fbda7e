import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fsyncPath } from "../repo/durable.ts";
import { lockFile } from "../repo/lock.ts";
import { initRepo } from "../repo/open.ts";
import { STATEROOT } from "./deployment.ts";
import { OstreeSysrootError } from "./errors.ts";

/** Directories of a sysroot, absolute. Layout: os-image.md §2.3. */
export interface SysrootPaths {
  readonly root: string;
  readonly repo: string;
  /** Of the state root. */
  readonly state: string;
  readonly var: string;
  /** Deployments, their origin files, and what is being made or removed: names that begin with a dot. */
  readonly deploy: string;
}

/** Names in the deploy directory of what is being made or removed. A crash leaves them; cleanup removes them. */
export const TEMPORARY = {
  stage: ".stage-",
  etc: ".etc-",
  origin: ".origin-",
  remove: ".remove-",
  var: ".var-",
} as const;

/** The refs that keep the commits of deployments from being pruned begin so. */
export const DEPLOYMENT_REFS = "ostree/deployment";

/** Where things are below a root directory. */
export function sysrootPaths(rootDir: string): SysrootPaths {
  const root = resolve(rootDir);
  const state = join(root, "ostree/deploy", STATEROOT);
  return { root, repo: join(root, "ostree/repo"), state, var: join(state, "var"), deploy: join(state, "deploy") };
}

/** The lock of whoever changes the sysroot; upstream's programs take the same. */
export function lockPath(paths: SysrootPaths): string {
  return join(paths.root, "ostree/lock");
}

const LOCK_TIMEOUT_MS = 60_000;

/**
 * Makes an empty sysroot below an existing directory: `/ostree/repo` (bare) and the state root with its `/var`. Does nothing
 * where there is one.
 *
 * @throws OstreeSysrootError when the directory does not exist
 */
export async function initSysroot(rootDir: string): Promise<void> {
  const paths = sysrootPaths(rootDir);
  if (!existsSync(paths.root)) {
    throw new OstreeSysrootError(`${paths.root} does not exist; make the directory or mount the disk first`, {
      path: paths.root,
    });
  }
  await mkdir(join(paths.root, "ostree"), { recursive: true, mode: 0o755 });
  // Also makes its file, which a full disk could not be cleaned up without.
  using _lock = await lockFile(lockPath(paths), "exclusive", LOCK_TIMEOUT_MS);
  const repo = await initRepo(paths.repo, {
    mode: "bare",
    config: { sysroot: { bootloader: "none", readonly: "true" } },
  });
  await repo[Symbol.asyncDispose]();
  await mkdir(paths.var, { recursive: true, mode: 0o755 });
  await mkdir(paths.deploy, { recursive: true, mode: 0o755 });
  for (const dir of [paths.deploy, paths.state, join(paths.state, ".."), join(paths.root, "ostree"), paths.root]) {
    await fsyncPath(dir);
  }
}
