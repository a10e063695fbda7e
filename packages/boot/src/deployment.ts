import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { BootEntryError } from "./core/errors.ts";
import type { BootableDeployment } from "./port.ts";

/** A kernel or an initramfs larger than this is a mistake. */
const FILE_BYTES_MAX = 64 << 20;
/** Kernel arguments that belong to the image, one line of words. */
export const IMAGE_ARGUMENTS_PATH = "usr/lib/keelson/cmdline";

/** What a deployment has for a boot loader. */
export interface BootFiles {
  readonly kernel: Uint8Array;
  readonly initramfs: Uint8Array;
  /** SHA-256 over kernel and initramfs: equal ones share a folder on the ESP. */
  readonly bootcsum: string;
  /** The image's own kernel arguments. */
  readonly imageArguments: readonly string[];
}

/** Reads a deployment's kernel, initramfs and arguments. @throws BootEntryError that names what is missing */
export async function readBootFiles(deployment: BootableDeployment): Promise<BootFiles> {
  const modules = join(deployment.path, "usr/lib/modules");
  const versions = await readdir(modules).catch(() => []);
  const withKernel: string[] = [];
  for (const version of versions) {
    if ((await stat(join(modules, version, "vmlinuz")).catch(() => undefined))?.isFile()) withKernel.push(version);
  }
  const [version] = withKernel;
  if (version === undefined || withKernel.length > 1) {
    throw new BootEntryError(
      `deployment ${deployment.id} has ${withKernel.length} kernels in usr/lib/modules; exactly one can be booted`,
    );
  }
  const kernel = await readBounded(join(modules, version, "vmlinuz"));
  const initramfs = await readBounded(join(modules, version, "initramfs.img"));
  const text = await readFile(join(deployment.path, IMAGE_ARGUMENTS_PATH), "utf8").catch(() => "");
  const bootcsum = bootChecksum(kernel, initramfs);
  return { kernel, initramfs, bootcsum, imageArguments: text.split(/\s+/).filter((word) => word !== "") };
}

/** SHA-256 of a kernel followed by its initramfs, as hex. */
export function bootChecksum(kernel: Uint8Array, initramfs: Uint8Array): string {
  return createHash("sha256").update(kernel).update(initramfs).digest("hex");
}

async function readBounded(path: string): Promise<Uint8Array> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new BootEntryError(`cannot read ${path}`, { path }, { cause });
  });
  if (info.size === 0 || info.size > FILE_BYTES_MAX) {
    throw new BootEntryError(`${path} has ${info.size} bytes; 1 to ${FILE_BYTES_MAX} are taken`, { path });
  }
  return await readFile(path);
}
