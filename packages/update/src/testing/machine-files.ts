import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  bootChecksum,
  decideBoot,
  ESP_PATHS,
  encodeGrubenv,
  entryOptions,
  formatEntryFile,
  formatGrubEntry,
  grubEntryPath,
  grubenvFromView,
  kernelPaths,
  MountedEsp,
  readBootState,
  readEsp,
} from "@keelson/boot";
import { initSysroot, openRepo, openSysroot, pullLocal } from "@keelson/ostree";

/** What a machine in a directory was booted as. */
export interface Booted {
  readonly version: string;
  readonly deployment: string;
  readonly entry: string;
}

/** Puts a version on a machine's disk as an image does: sysroot, ESP (`esp/`), boot log (`bootlog`), a trusted key (`keys/`). */
export async function installMachine(options: {
  readonly root: string;
  readonly repo: string;
  readonly commit: string;
  readonly version: string;
  readonly key: string;
}): Promise<void> {
  const { root, commit, version } = options;
  await mkdir(join(root, "keys"), { recursive: true });
  await writeFile(join(root, "keys/test.pub"), `${options.key}\n`);
  await initSysroot(root);
  await using sysroot = await openSysroot(root);
  await using source = await openRepo(options.repo);
  await pullLocal(sysroot.repo, source, { commits: [commit] });
  const deployment = await sysroot.finalize(await sysroot.stage(commit, { origin: {} }), { mergeFrom: null });
  await writeEsp(root, deployment, version);
}

/** What the boot loader does: decides, and counts a try. */
export async function bootNext(root: string): Promise<Booted> {
  const esp = new MountedEsp(join(root, "esp"));
  const { entry, next } = decideBoot(readBootState(await readEsp(esp)), "direct");
  await esp.writeAt(ESP_PATHS.grubenv, 0, encodeGrubenv(grubenvFromView(next.grub)).subarray(0, 512));
  return { version: entry.version ?? "", deployment: entry.deployment, entry: entry.id };
}

/** The kernel's command line under it. */
export function cmdlineOf({ deployment, entry }: Booted): string {
  return `quiet ostree=/ostree/deploy/keelson/deploy/${deployment} keelson.entry=${entry} keelson.loader=direct`;
}

/** An ESP and a boot log with one good entry, as the image builder writes them. */
async function writeEsp(root: string, deployment: { id: string; path: string }, version: string): Promise<void> {
  const esp = join(root, "esp");
  const modules = join(deployment.path, "usr/lib/modules/6.12");
  const kernel = await readFile(join(modules, "vmlinuz"));
  const initramfs = await readFile(join(modules, "initramfs.img"));
  const bootcsum = bootChecksum(kernel, initramfs);
  const id = "keelson-1";
  const entry = {
    id,
    number: 1,
    version,
    deployment: deployment.id,
    bootcsum,
    options: entryOptions(["quiet"], [], { id, deployment: deployment.id }),
  };
  for (const directory of [ESP_PATHS.entries, ESP_PATHS.grub, kernelPaths(bootcsum).directory]) {
    await mkdir(join(esp, directory), { recursive: true });
  }
  const grubenv = new Uint8Array(1024).fill(0x23);
  grubenv.set(encodeGrubenv(grubenvFromView({ default: id })));
  await writeFile(join(esp, kernelPaths(bootcsum).kernel), kernel);
  await writeFile(join(esp, kernelPaths(bootcsum).initramfs), initramfs);
  await writeFile(join(esp, ESP_PATHS.entries, `${id}.conf`), formatEntryFile(entry));
  await writeFile(join(esp, grubEntryPath(id)), formatGrubEntry(entry));
  await writeFile(join(esp, ESP_PATHS.grubenv), grubenv);
  await writeFile(join(root, "bootlog"), new Uint8Array(1 << 20));
}
