import { copyFile, lstat, mkdir, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { IMAGE_ARGUMENTS_PATH } from "@keelson/boot";
import { run } from "./run.ts";

/** What is at the top of a deployment: mount points, and links into /var for what belongs to the machine. */
const FOLDERS = ["boot", "dev", "efi", "proc", "run", "sys", "sysroot", "tmp", "var"];
const LINKS: Readonly<Record<string, string>> = {
  home: "var/home",
  media: "run/media",
  mnt: "var/mnt",
  opt: "var/opt",
  ostree: "sysroot/ostree",
  root: "var/roothome",
  srv: "var/srv",
  "usr/local": "../var/usrlocal",
};

export interface TreeOptions {
  /** The root file system as a container has it. */
  readonly rootfs: string;
  readonly target: string;
  readonly kernelVersion: string;
  readonly kernel: string;
  readonly initramfs: Uint8Array;
  readonly kernelArguments: string;
}

/**
 * The tree that is committed: /etc as its defaults in /usr/etc, an empty /var, links for what is the machine's own, and
 * the kernel with its initramfs beside its modules (os-image.md §2.9). Hard links: nothing is copied.
 */
export async function makeTree(options: TreeOptions): Promise<void> {
  const { rootfs, target } = options;
  await run("cp", ["-al", rootfs, target]);
  await rename(join(target, "etc"), join(target, "usr/etc"));
  for (const name of [...FOLDERS, ...Object.keys(LINKS)]) {
    await rm(join(target, name), { recursive: true, force: true });
  }
  for (const name of FOLDERS) await mkdir(join(target, name), { mode: 0o755 });
  for (const [name, to] of Object.entries(LINKS)) await symlink(to, join(target, name));
  await writeFile(join(target, IMAGE_ARGUMENTS_PATH), `${options.kernelArguments}\n`, { mode: 0o644 });
  const modules = join(target, "usr/lib/modules", options.kernelVersion);
  await copyFile(options.kernel, join(modules, "vmlinuz"));
  await writeFile(join(modules, "initramfs.img"), options.initramfs, {
    mode: 0o644,
  });
}

/** Lays a folder's files over a tree; its links and modes are kept. Files are replaced, never written into. */
export async function overlayTree(source: string, target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  for (const entry of await readdir(source, { withFileTypes: true })) {
    const [from, to] = [join(source, entry.name), join(target, entry.name)];
    const there = await lstat(to).catch(() => undefined);
    if (entry.isDirectory() && there?.isSymbolicLink() !== true) {
      await overlayTree(from, to);
      continue;
    }
    if (there !== undefined && !there.isDirectory()) await rm(to);
    await mkdir(dirname(to), { recursive: true });
    await run("cp", ["-a", "--no-target-directory", from, to]);
  }
}
