import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { bootChecksum, PARTITION_NAMES } from "@keelson/boot";
import { keyOf } from "./definition.ts";
import { partitionOf, planDisk, writeDisk } from "./disk.ts";
import { writeEsp } from "./esp.ts";
import { SECTOR_BYTES } from "./gpt.ts";
import { makeInitramfs } from "./initramfs.ts";
import type { ImageManifest } from "./manifest.ts";
import type { Parts } from "./prepare.ts";
import { removeTree } from "./programs.ts";
import { assembleRootfs } from "./rootfs.ts";
import { commitImage, firstEntry, imageRef, makeSysroot } from "./sysroot.ts";
import { makeTree, overlayTree } from "./tree.ts";

/** A commit in the build repository, and what it was made of. */
export interface MadeCommit {
  readonly checksum: string;
  /** The root file system as containers have it. */
  readonly rootfs: string;
  readonly initramfs: Uint8Array;
}

/** Puts the root file system together in `work/rootfs` and commits it as a deployment has it. */
export async function makeCommit(parts: Parts, work: string): Promise<MadeCommit> {
  const { base, definition, progress, cacheDir, version, epoch, signal } = parts;
  progress.step("put the root file system together");
  const rootfs = join(work, "rootfs");
  await assembleRootfs({ ...parts, target: rootfs });
  await installKeys(rootfs, parts.trust);
  if (parts.overlay !== undefined) await overlayTree(parts.overlay, rootfs);
  const initramfs = await makeInitramfs(base, definition);

  progress.step("commit the tree");
  const tree = join(work, "tree");
  const { kernelVersion, kernel } = base;
  const { kernelArguments } = definition;
  await makeTree({ rootfs, target: tree, kernelVersion, kernel, initramfs, kernelArguments });
  const ref = imageRef(definition.settings.name, "build");
  const { checksum, bytesWritten } = await commitImage({ cacheDir, tree, ref, version, epoch, signal });
  progress.detail(`commit ${checksum}: ${Math.round(bytesWritten / 1000)} kB are new`);
  await removeTree(tree);
  return { checksum, rootfs, initramfs };
}

async function installKeys(rootfs: string, files: readonly string[]): Promise<void> {
  const directory = join(rootfs, "usr/share/keelson/keys");
  await mkdir(directory, { recursive: true });
  for (const file of files) {
    const name = basename(file).replace(/\.pub$/, "");
    await writeFile(join(directory, `${name}.pub`), await readFile(file), { mode: 0o644 });
  }
}

/** Writes the kernel, the initramfs and the disk with the commit deployed into the work folder. */
export async function makeDisk(
  parts: Parts,
  work: string,
  commit: MadeCommit,
): Promise<Pick<ImageManifest, "deployment" | "options" | "rootGuid" | "esp">> {
  const { base, definition, progress, cacheDir, version, epoch, signal } = parts;
  const { settings, kernelArguments } = definition;
  const { initramfs, rootfs, checksum } = commit;
  const at = (name: string) => join(work, name);
  const kernel = await readFile(base.kernel);
  await copyFile(base.kernel, at("vmlinuz"));
  await writeFile(at("initramfs.cpio"), initramfs);

  progress.step("write the disk");
  const seed = keyOf(settings, base.lock, parts.node.version);
  const layout = planDisk({ ...settings, seed });
  const diskSectors = layout.sizeBytes / SECTOR_BYTES;
  const [sysroot, ref] = [at("sysroot"), imageRef(settings.name, "stable")];
  const fresh = join(rootfs, "var");
  const deployment = await makeSysroot({ cacheDir, target: sysroot, checksum, ref, var: fresh, diskSectors });
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
  return { deployment: deployment.id, options: entry.options, rootGuid, esp };
}
