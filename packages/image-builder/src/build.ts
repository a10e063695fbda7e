import { randomBytes } from "node:crypto";
import { copyFile, mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join, resolve } from "node:path";
import { bootChecksum, PARTITION_NAMES } from "@keelson/boot";
import { hashTree, keyOf, readDefinition } from "./definition.ts";
import { partitionOf, planDisk, writeDisk } from "./disk.ts";
import { writeEsp } from "./esp.ts";
import { SECTOR_BYTES } from "./gpt.ts";
import { requireBuildHost } from "./host.ts";
import { makeInitramfs } from "./initramfs.ts";
import { buildLockedBase } from "./locked-base.ts";
import { type ImageManifest, MANIFEST_VERSION, readManifest } from "./manifest.ts";
import { buildNode, bundlePrograms, removeTree } from "./programs.ts";
import { type Progress, silentProgress } from "./progress.ts";
import { assembleRootfs, type RootfsOptions } from "./rootfs.ts";
import { run } from "./run.ts";
import { builtKey, publish, storeOf } from "./store.ts";
import { commitImage, firstEntry, imageRef, makeSysroot } from "./sysroot.ts";
import { makeTree, overlayTree } from "./tree.ts";

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
  /** The image's version; default from package.json and git. */
  readonly version?: string | undefined;
  /** For tests: a folder whose files are laid over the root file system. */
  readonly overlay?: string | undefined;
  /** For tests: another first program of the initramfs. */
  readonly initramfsInit?: string | undefined;
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** Raise when the same inputs give another image than before. */
const BUILD_VERSION = 3;

/** The default output of builds of a repository. */
export function defaultOutput(repository: string): string {
  return resolve(repository, "out/image");
}

/**
 * Builds the image: `disk.img` (boots on BIOS and UEFI), `vmlinuz`, `initramfs.cpio` for direct boot, `rootfs/` for
 * containers, and `manifest.json`. The output is a link that moves to the new image when all of it is there; nothing is built
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
  const definition = {
    ...read,
    ...(options.suite === undefined ? {} : { settings: { ...read.settings, suite: options.suite } }),
    ...(options.initramfsInit === undefined ? {} : { initramfsInit: resolve(options.initramfsInit) }),
  };
  const overlay = options.overlay === undefined ? undefined : resolve(options.overlay);

  const base = await buildLockedBase(definition, read.settings.suite, {
    ...options,
    cacheDir,
    progress,
  });
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
      variant: keyOf(
        options.version ?? null,
        overlay === undefined ? null : await hashTree(overlay),
        await readFile(definition.initramfsInit, "utf8"),
      ),
    };
    const key = keyOf(BUILD_VERSION, inputs, node.version);
    if ((await builtKey(output)) === key) {
      progress.step("the image is up to date");
      await removeTree(work);
      return await readManifest(output);
    }
    const source = await describeSource(repository);
    const version = options.version ?? source.version;
    const { epoch } = source;
    const { signal } = options;
    const parts = {
      work,
      cacheDir,
      base,
      definition,
      node,
      programs,
      epoch,
      version,
      overlay,
      progress,
      signal,
    };
    const made = await writeParts(parts);
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
      ...made,
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
  readonly cacheDir: string;
  readonly overlay: string | undefined;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** Writes the tree, its commit, the disk, the kernel and the initramfs into the work folder. */
async function writeParts(
  parts: Parts,
): Promise<Pick<ImageManifest, "commit" | "deployment" | "options" | "rootGuid" | "esp">> {
  const { work, base, definition, progress, cacheDir, version, epoch, signal } = parts;
  const { settings } = definition;
  const at = (name: string) => join(work, name);
  progress.step("put the root file system together");
  await assembleRootfs({ ...parts, target: at("rootfs") });
  if (parts.overlay !== undefined) await overlayTree(parts.overlay, at("rootfs"));
  const kernel = await readFile(base.kernel);
  const initramfs = await makeInitramfs(base, definition);
  await copyFile(base.kernel, at("vmlinuz"));
  await writeFile(at("initramfs.cpio"), initramfs);

  progress.step("commit the tree");
  const { kernelVersion } = base;
  const { kernelArguments } = definition;
  await makeTree({
    rootfs: at("rootfs"),
    target: at("tree"),
    kernelVersion,
    kernel: base.kernel,
    initramfs,
    kernelArguments,
  });
  const ref = imageRef(settings.name, "build");
  const { checksum, bytesWritten } = await commitImage({
    cacheDir,
    tree: at("tree"),
    ref,
    version,
    epoch,
    signal,
  });
  progress.detail(`commit ${checksum}: ${Math.round(bytesWritten / 1000)} kB are new`);
  await removeTree(at("tree"));

  progress.step("write the disk");
  const seed = keyOf(settings, base.lock, parts.node.version);
  const layout = planDisk({ ...settings, seed });
  const diskSectors = layout.sizeBytes / SECTOR_BYTES;
  const sysroot = at("sysroot");
  const stable = imageRef(settings.name, "stable");
  const fresh = at("rootfs/var");
  const deployment = await makeSysroot({ cacheDir, target: sysroot, checksum, ref: stable, var: fresh, diskSectors });
  const bootcsum = bootChecksum(kernel, initramfs);
  const entry = firstEntry({ deployment: deployment.id, version, bootcsum, kernelArguments });
  const esp = await writeEsp({
    target: at("esp.img"),
    workDir: work,
    sizeMiB: settings.espMiB,
    volumeId: seed.slice(0, 8),
    entry,
    kernel,
    initramfs,
    uefiLoader: await readFile(base.uefiLoader),
  });
  await writeDisk({ target: at("disk.img"), workDir: work, sysroot, esp: at("esp.img"), layout, seed, epoch, signal });
  for (const name of ["sysroot", "esp", "esp.img", "grub-core.img"]) await removeTree(at(name));
  const rootGuid = partitionOf(layout, PARTITION_NAMES.root).guid;
  return { commit: checksum, deployment: deployment.id, options: entry.options, rootGuid, esp };
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
