import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { buildBase } from "./base.ts";
import { hashTree, keyOf, readDefinition } from "./definition.ts";
import { writeDisk } from "./disk.ts";
import { requireBuildHost } from "./host.ts";
import { writeInitramfs } from "./initramfs.ts";
import { compareLock, formatLock, judgeChanges, type PackageLock, parseLock } from "./lock.ts";
import { type ImageManifest, MANIFEST_VERSION } from "./manifest.ts";
import { resolveMirror } from "./mirror.ts";
import { buildNode, bundlePrograms, removeTree } from "./programs.ts";
import { type Progress, silentProgress } from "./progress.ts";
import { assembleRootfs } from "./rootfs.ts";
import { run } from "./run.ts";

export interface BuildOptions {
  /** The repository: `image/`, `apps/`, `scripts/bundle.ts` and the workspace's Node. */
  readonly repository: string;
  /** Where the image goes; default `out/image` in the repository. */
  readonly output?: string | undefined;
  readonly cacheDir?: string | undefined;
  readonly mirror?: string | undefined;
  readonly suite?: string | undefined;
  /** Time of a snapshot below the mirror, such as 20260101T000000Z. */
  readonly snapshot?: string | undefined;
  readonly updateLock?: boolean;
  readonly frozen?: boolean;
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
}

const LOCK_FILE = "packages.lock.json";

/** The default output of builds of a repository. */
export function defaultOutput(repository: string): string {
  return resolve(repository, "out/image");
}

/**
 * Builds the image: `disk.img` (GPT, ext4), `vmlinuz`, `initramfs.cpio` for direct boot, `rootfs/` for containers,
 * and `manifest.json`, which is written last. The outputs replace those of an earlier build only when all is done.
 * @throws {HostToolsError} when the host lacks something; {@link ImageBuildError} and others when a step fails.
 */
export async function buildImage(options: BuildOptions): Promise<ImageManifest> {
  requireBuildHost();
  const startedMs = performance.now();
  const progress = options.progress ?? silentProgress;
  const repository = resolve(options.repository);
  const output = resolve(options.output ?? defaultOutput(repository));
  const cacheDir = options.cacheDir ?? defaultCacheDir();
  const read = await readDefinition(join(repository, "image"));
  const definition =
    options.suite === undefined ? read : { ...read, settings: { ...read.settings, suite: options.suite } };

  const lockPath = join(definition.directory, LOCK_FILE);
  const lockFile = await readLock(lockPath);
  // Another suite than the locked one is an experiment: its versions are neither compared nor recorded.
  const isLockedSuite = definition.settings.suite === (lockFile?.suite ?? read.settings.suite);
  const lock = isLockedSuite && options.updateLock !== true ? lockFile : undefined;
  const base = await buildBase({
    definition,
    cacheDir,
    lock,
    mirror: () => resolveMirror(options),
    progress,
    signal: options.signal,
  });
  if (base.fromCache) progress.step("take the Debian packages from the cache");
  if (lock === undefined && isLockedSuite) {
    await replaceFile(lockPath, formatLock(base.lock));
    progress.detail(`wrote ${lockPath}: ${Object.keys(base.lock.packages).length} packages`);
  } else if (lock !== undefined) {
    const warnings = judgeChanges(compareLock(lock, base.lock), { frozen: options.frozen ?? false });
    for (const warning of warnings) progress.warn(warning);
    if (warnings.length > 0) progress.warn("to record these versions: osctl build --update-lock");
  }

  const node = await buildNode(repository, cacheDir, progress);
  await mkdir(join(output, ".."), { recursive: true });
  const work = await mkdtemp(`${output}.work-`);
  await chmod(work, 0o755);
  try {
    progress.step("bundle the programs");
    const bundles = join(work, "bundles");
    await mkdir(bundles);
    const programs = await bundlePrograms(repository, bundles, progress);
    progress.step("put the root file system together");
    const { epoch, version } = await describeSource(repository);
    const rootfs = join(work, "rootfs");
    await assembleRootfs({ target: rootfs, base, definition, node, programs, version, epoch });
    progress.step("write the disk");
    const seed = keyOf(definition.settings, base.lock, node.version);
    const disk = await writeDisk({
      target: join(work, "disk.img"),
      rootfs,
      espMiB: definition.settings.espMiB,
      rootMiB: definition.settings.rootMiB,
      seed,
      epoch,
      signal: options.signal,
    });
    await copyFile(base.kernel, join(work, "vmlinuz"));
    await writeInitramfs(join(work, "initramfs.cpio"), base, definition);
    const manifest: ImageManifest = {
      manifestVersion: MANIFEST_VERSION,
      name: definition.settings.name,
      version,
      suite: definition.settings.suite,
      architecture: definition.settings.architecture,
      kernel: base.kernelVersion,
      node: node.version,
      packages: Object.keys(base.lock.packages).length,
      programs: programs.bundles.map(({ name, bytes }) => ({ name, bytes })),
      rootGuid: disk.rootGuid,
      sizes: {
        rootfsBytes: await treeBytes(rootfs),
        diskBytes: disk.sizeBytes,
        diskUsedBytes: (await stat(join(work, "disk.img"))).blocks * 512,
        kernelBytes: (await stat(join(work, "vmlinuz"))).size,
        initramfsBytes: (await stat(join(work, "initramfs.cpio"))).size,
      },
      setuidFiles: await setuidFiles(rootfs),
      inputs: { definition: await hashTree(definition.directory), base: keyOf(base.lock) },
      buildMs: Math.round(performance.now() - startedMs),
    };
    await removeTree(bundles);
    await writeFile(join(work, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
    await swapIn(work, output);
    return manifest;
  } catch (error) {
    await removeTree(work);
    throw error;
  }
}

export function defaultCacheDir(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "keelson/image");
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

/** Moves the finished folder into its place. Folders cannot be exchanged in one step by Node; the gap is two renames. */
async function swapIn(work: string, output: string): Promise<void> {
  const old = `${output}.old-${process.pid}`;
  const hadOld = await rename(output, old).then(
    () => true,
    () => false,
  );
  await rename(work, output);
  if (hadOld) await removeTree(old);
}

/** Version and time of the source: from git where there is one, so that equal commits give equal images. */
async function describeSource(repository: string): Promise<{ epoch: number; version: string }> {
  const { version } = JSON.parse(await readFile(join(repository, "package.json"), "utf8")) as { version: string };
  const git = await run("git", ["-C", repository, "log", "-1", "--format=%ct %h"]).catch(() => "0 unknown");
  const [time = "0", commit = "unknown"] = git.trim().split(" ");
  return { epoch: Number(time), version: `${version}+${commit}` };
}

async function treeBytes(directory: string): Promise<number> {
  return Number((await run("du", ["-s", "--block-size=1", "--apparent-size", directory])).split("\t")[0]);
}

async function setuidFiles(rootfs: string): Promise<number> {
  return (await run("find", [rootfs, "-xdev", "-type", "f", "-perm", "/6000"])).split("\n").filter(Boolean).length;
}
