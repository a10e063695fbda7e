import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decideBoot, ESP_PATHS, encodeGrubenv, grubenvFromView, kernelPaths, readBootState } from "@keelson/boot/core";
import { ClusterError } from "../errors.ts";
import { FatReader } from "./esp/fat.ts";
import { findPartition, type ReadAt } from "./esp/gpt.ts";

const ESP_NAME = "esp";
const SECTOR_BYTES = 512;

/** A kernel to start, taken from a disk. */
export interface DirectBoot {
  /** Id of the boot entry. */
  readonly entry: string;
  readonly kernel: string;
  readonly initramfs: string;
  /** Its command line, as the entry says. */
  readonly options: string;
  readonly deployment: string;
  /** What kernel and initramfs must hash to (`bootChecksum`). */
  readonly bootcsum: string;
}

/**
 * The boot loader of machines whose kernel QEMU loads: reads what the disk's ESP says, decides as the real loaders do
 * (`decideBoot`), writes the counted try back in one sector, and copies kernel and initramfs to `directory`. To be called
 * while no QEMU has the disk. Without `count`, only tells what would boot.
 *
 * @throws ClusterError, BootStateError when the disk cannot be booted
 */
export async function decideDirectBoot(
  disk: string,
  directory: string,
  options: { readonly count: boolean } = { count: true },
): Promise<DirectBoot> {
  await using file = await open(disk, "r+");
  const read: ReadAt = async (offset, length) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  };
  const esp = await findPartition(read, ESP_NAME);
  if (esp === undefined) throw new ClusterError(`the disk has no partition named ${ESP_NAME}`);
  const fat = await FatReader.open((offset, length) => read(esp.offset + offset, length));
  const entryFiles = new Map<string, string>();
  for (const { name, isDirectory } of (await fat.list(ESP_PATHS.entries)) ?? []) {
    if (isDirectory) continue;
    entryFiles.set(name, (await fat.read(`${ESP_PATHS.entries}/${name}`))?.toString("latin1") ?? "");
  }
  const state = readBootState({ entryFiles, grubenv: await fat.read(ESP_PATHS.grubenv) });
  const { entry, next } = decideBoot(state, "direct");
  if (next !== state && options.count) {
    const place = await fat.locate(ESP_PATHS.grubenv);
    if (place === undefined) throw new ClusterError(`the ESP has no ${ESP_PATHS.grubenv} to count tries in`);
    const sector = encodeGrubenv(grubenvFromView(next.grub)).subarray(0, SECTOR_BYTES);
    await file.write(sector, 0, SECTOR_BYTES, esp.offset + place.offset);
  }
  await mkdir(directory, { recursive: true });
  const paths = kernelPaths(entry.bootcsum);
  const copy = async (path: string, name: string) => {
    const bytes = await fat.read(path);
    if (bytes === undefined) throw new ClusterError(`entry ${entry.id} names ${path}, which the ESP does not have`);
    const target = join(directory, name);
    await writeFile(target, bytes);
    return target;
  };
  return {
    entry: entry.id,
    kernel: await copy(paths.kernel, "vmlinuz"),
    initramfs: await copy(paths.initramfs, "initramfs"),
    options: entry.options,
    deployment: entry.deployment,
    bootcsum: entry.bootcsum,
  };
}

/** Whether a disk has boot entries; one without is booted with the kernel beside it. */
export async function hasBootEntries(disk: string): Promise<boolean> {
  await using file = await open(disk, "r");
  const read: ReadAt = async (offset, length) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  };
  const esp = await findPartition(read, ESP_NAME);
  if (esp === undefined) return false;
  try {
    const fat = await FatReader.open((offset, length) => read(esp.offset + offset, length));
    return ((await fat.list(ESP_PATHS.entries)) ?? []).length > 0;
  } catch {
    return false;
  }
}
