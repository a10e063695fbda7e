import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BootEntry, entryId, entryOptions } from "@keelson/boot";
import { commitTree, initRepo, initSysroot, openSysroot, pullLocal, sysrootPaths } from "@keelson/ostree";
import { run } from "./run.ts";

/** Objects of all builds on this host, so that a build writes only what is new. They can be made again: no fsync. */
export function buildRepoPath(cacheDir: string): string {
  return join(cacheDir, "repo");
}

export async function openBuildRepo(cacheDir: string) {
  await mkdir(cacheDir, { recursive: true });
  const config = { core: { fsync: "false", "min-free-space-percent": "0" } };
  return await initRepo(buildRepoPath(cacheDir), { mode: "bare", config });
}

/** The branch that machines follow on a stream. Pure. */
export function imageRef(name: string, stream: string): string {
  return `${name}/x86_64/${stream}`;
}

export interface CommitOptions {
  readonly cacheDir: string;
  readonly tree: string;
  readonly ref: string;
  readonly version: string;
  /** Seconds since 1970. */
  readonly epoch: number;
  readonly signal?: AbortSignal | undefined;
}

/** Commits a tree; equal trees, versions and times give equal checksums. */
export async function commitImage(options: CommitOptions): Promise<{ checksum: string; bytesWritten: number }> {
  await using repo = await openBuildRepo(options.cacheDir);
  const { checksum, stats } = await commitTree(repo, options.tree, {
    ref: options.ref,
    subject: `Keelson OS ${options.version}`,
    metadata: [["version", { type: "s", value: options.version }]],
    parent: null,
    timestamp: options.epoch,
    bootable: true,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  return { checksum, bytesWritten: stats.contentBytes };
}

export interface SysrootOptions {
  readonly cacheDir: string;
  readonly target: string;
  readonly checksum: string;
  readonly ref: string;
  /** What of /var a new machine begins with. */
  readonly var: string;
  readonly diskSectors: number;
}

/** The root partition of a new machine: the repository, one deployment, /var. Returns the deployment. */
export async function makeSysroot(options: SysrootOptions): Promise<{ id: string; path: string }> {
  const { target, checksum, ref } = options;
  await mkdir(target);
  await initSysroot(target);
  await using sysroot = await openSysroot(target);
  await using source = await openBuildRepo(options.cacheDir);
  await pullLocal(sysroot.repo, source, { commits: [checksum] });
  await using transaction = await sysroot.repo.transaction();
  transaction.setRef(`keelson:${ref}`, checksum);
  await transaction.commit();
  const staged = await sysroot.stage(checksum, {
    origin: { refspec: `keelson:${ref}` },
    verify: "none",
  });
  const { id, path } = await sysroot.finalize(staged, { mergeFrom: null });
  const state = sysrootPaths(target).var;
  await run("cp", ["-a", `${options.var}/.`, state]);
  await mkdir(join(state, "lib/keelson"), { recursive: true, mode: 0o755 });
  // Nothing to grow while the disk has the size it was made with (image/initramfs/init).
  await writeFile(join(state, "lib/keelson/grown"), `${options.diskSectors}\n`);
  return { id, path };
}

/** The entry that a new disk boots. Pure. */
export function firstEntry(options: {
  deployment: string;
  version: string;
  bootcsum: string;
  kernelArguments: string;
}): BootEntry {
  const id = entryId(1);
  const { deployment, version, bootcsum } = options;
  const words = options.kernelArguments.split(" ");
  return {
    id,
    number: 1,
    version,
    deployment,
    bootcsum,
    options: entryOptions(words, [], { id, deployment }),
  };
}
