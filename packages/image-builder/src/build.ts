import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rename, stat, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { keyOf } from "./definition.ts";
import { requireBuildHost } from "./host.ts";
import { makeCommit, makeDisk } from "./make.ts";
import { type ImageManifest, MANIFEST_VERSION, readManifest } from "./manifest.ts";
import { defaultCacheDir, type Parts, prepareParts, type SourceOptions } from "./prepare.ts";
import { removeTree } from "./programs.ts";
import { silentProgress } from "./progress.ts";
import { run } from "./run.ts";
import { builtKey, publish, storeOf } from "./store.ts";

export interface BuildOptions extends SourceOptions {
  /** Where the image goes; default `out/image` in the repository. */
  readonly output?: string | undefined;
}

/** Raise when the same inputs give another image than before. */
const BUILD_VERSION = 4;

/** The default output of builds of a repository. */
export function defaultOutput(repository: string): string {
  return resolve(repository, "out/image");
}

/**
 * Builds the image: `disk.img` (boots on BIOS and UEFI), `vmlinuz`, `initramfs.cpio` for direct boot, `rootfs/` for
 * containers, and `manifest.json`. The output is a link that moves to the new image when all of it is there; nothing is
 * built when the image of these inputs is there already.
 * @throws {HostToolsError} when the host lacks something; {@link ImageBuildError} and others when a step fails.
 */
export async function buildImage(options: BuildOptions): Promise<ImageManifest> {
  requireBuildHost();
  const startedMs = performance.now();
  const progress = options.progress ?? silentProgress;
  const output = resolve(options.output ?? defaultOutput(resolve(options.repository)));
  const store = storeOf(output);
  await mkdir(store, { recursive: true });
  const work = join(store, `${randomBytes(6).toString("hex")}.work-${process.pid}`);
  await mkdir(work, { mode: 0o755 });
  try {
    const parts = await prepareParts(options);
    const key = keyOf(BUILD_VERSION, parts.inputs, parts.node.version);
    if ((await builtKey(output)) === key) {
      progress.step("the image is up to date");
      await removeTree(work);
      return await readManifest(output);
    }
    const commit = await makeCommit(parts, work);
    const disk = await makeDisk(parts, work, commit);
    const manifest: ImageManifest = {
      ...describeParts(parts),
      commit: commit.checksum,
      ...disk,
      sizes: await measure(work),
      setuidFiles: await countSetuid(join(work, "rootfs")),
      inputs: { ...parts.inputs, key },
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

/**
 * Builds only the commit, into the build repository of the cache: what an update needs. Seconds.
 * @throws {HostToolsError} when the host lacks something; {@link ImageBuildError} and others when a step fails.
 */
export async function buildCommit(options: SourceOptions): Promise<{ commit: string; version: string }> {
  requireBuildHost();
  const cacheDir = options.cacheDir ?? defaultCacheDir();
  await mkdir(cacheDir, { recursive: true });
  const parts = await prepareParts(options);
  // In the cache, so that hard links to the base can be made.
  const work = await mkdtemp(join(cacheDir, "commit.work-"));
  try {
    const { checksum } = await makeCommit(parts, work);
    return { commit: checksum, version: parts.version };
  } finally {
    await removeTree(work);
  }
}

function describeParts({ definition: { settings }, version, base, node, programs }: Parts) {
  return {
    manifestVersion: MANIFEST_VERSION,
    name: settings.name,
    version,
    suite: settings.suite,
    architecture: settings.architecture,
    kernel: base.kernelVersion,
    node: node.version,
    packages: Object.keys(base.lock.packages).length,
    programs: programs.bundles.map(({ name, bytes }) => ({ name, bytes })),
  };
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
