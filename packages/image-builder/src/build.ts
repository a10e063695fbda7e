import { randomBytes } from "node:crypto";
import { copyFile, mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join, resolve } from "node:path";
import { hashTree, keyOf, readDefinition } from "./definition.ts";
import { writeDisk } from "./disk.ts";
import { requireBuildHost } from "./host.ts";
import { writeInitramfs } from "./initramfs.ts";
import { buildLockedBase } from "./locked-base.ts";
import { type ImageManifest, MANIFEST_VERSION, readManifest } from "./manifest.ts";
import { buildNode, bundlePrograms, removeTree } from "./programs.ts";
import { type Progress, silentProgress } from "./progress.ts";
import { assembleRootfs, type RootfsOptions } from "./rootfs.ts";
import { run } from "./run.ts";
import { builtKey, publish, storeOf } from "./store.ts";

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

/** Raise when the same inputs give another image than before. */
const BUILD_VERSION = 1;

/** The default output of builds of a repository. */
export function defaultOutput(repository: string): string {
  return resolve(repository, "out/image");
}

/**
 * Builds the image: `disk.img` (GPT, ext4), `vmlinuz`, `initramfs.cpio` for direct boot, `rootfs/` for containers,
 * and `manifest.json`. The output is a link that moves to the new image when all of it is there; nothing is built
 * when the image of these inputs is there already.
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

  const base = await buildLockedBase(definition, read.settings.suite, { ...options, cacheDir, progress });
  const node = await buildNode(repository, cacheDir, progress);
  const store = storeOf(output);
  await mkdir(store, { recursive: true });
  const work = join(store, `${randomBytes(6).toString("hex")}.work-${process.pid}`);
  await mkdir(work, { mode: 0o755 });
  try {
    progress.step("bundle the programs");
    const bundles = join(work, "bundles");
    await mkdir(bundles);
    const programs = await bundlePrograms(repository, bundles, progress);
    const inputs = {
      base: keyOf(base.lock, definition.settings),
      definition: await hashTree(definition.directory),
      programs: await hashTree(bundles),
    };
    const key = keyOf(BUILD_VERSION, inputs, node.version);
    if ((await builtKey(output)) === key) {
      progress.step("the image is up to date");
      await removeTree(work);
      return await readManifest(output);
    }
    const { epoch, version } = await describeSource(repository);
    const parts = { work, base, definition, node, programs, epoch, version, progress, signal: options.signal };
    const disk = await writeParts(parts);
    await removeTree(bundles);
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
      sizes: await measure(work),
      setuidFiles: await countSetuid(join(work, "rootfs")),
      inputs: { ...inputs, key },
      buildMs: Math.round(performance.now() - startedMs),
    };
    await writeFile(join(work, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
    const image = join(store, `${key}-${basename(work).slice(0, 12)}`);
    await rename(work, image);
    await publish(image, output);
    return manifest;
  } catch (error) {
    await removeTree(work);
    throw error;
  }
}

interface Parts extends Omit<RootfsOptions, "target"> {
  readonly work: string;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** Writes the tree, the disk, the kernel and the initramfs into the work folder. */
async function writeParts(parts: Parts): Promise<{ rootGuid: string }> {
  const { work, base, definition, progress } = parts;
  progress.step("put the root file system together");
  const rootfs = join(work, "rootfs");
  await assembleRootfs({ ...parts, target: rootfs });
  progress.step("write the disk");
  const disk = await writeDisk({
    target: join(work, "disk.img"),
    rootfs,
    espMiB: definition.settings.espMiB,
    rootMiB: definition.settings.rootMiB,
    seed: keyOf(definition.settings, base.lock, parts.node.version),
    epoch: parts.epoch,
    signal: parts.signal,
  });
  await copyFile(base.kernel, join(work, "vmlinuz"));
  await writeInitramfs(join(work, "initramfs.cpio"), base, definition);
  return disk;
}

async function measure(work: string): Promise<ImageManifest["sizes"]> {
  const disk = await stat(join(work, "disk.img"));
  const bytes = async (name: string) => (await stat(join(work, name))).size;
  const tree = await run("du", ["-s", "--block-size=1", "--apparent-size", join(work, "rootfs")]);
  return {
    rootfsBytes: Number(tree.split("\t")[0]),
    diskBytes: disk.size,
    diskUsedBytes: disk.blocks * 512,
    kernelBytes: await bytes("vmlinuz"),
    initramfsBytes: await bytes("initramfs.cpio"),
  };
}

async function countSetuid(rootfs: string): Promise<number> {
  return (await run("find", [rootfs, "-xdev", "-type", "f", "-perm", "/6000"])).split("\n").filter(Boolean).length;
}

export function defaultCacheDir(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "keelson/image");
}

/** Version and time of the source: from git where there is one, so that equal commits give equal images. */
async function describeSource(repository: string): Promise<{ epoch: number; version: string }> {
  const { version } = JSON.parse(await readFile(join(repository, "package.json"), "utf8")) as { version: string };
  const git = await run("git", ["-C", repository, "log", "-1", "--format=%ct %h"]).catch(() => "0 unknown");
  const [time = "0", commit = "unknown"] = git.trim().split(" ");
  return { epoch: Number(time), version: `${version}+${commit}` };
}
