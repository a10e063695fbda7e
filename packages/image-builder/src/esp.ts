import { mkdir, open, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  type BootEntry,
  ESP_PATHS,
  encodeGrubenv,
  formatEntryFile,
  formatEntryName,
  formatGrubEntry,
  grubConfig,
  grubEntryPath,
  grubenvFromView,
  kernelPaths,
  loaderConf,
} from "@keelson/boot";
import { run } from "./run.ts";

export interface EspOptions {
  /** The file system's image; it is made. */
  readonly target: string;
  readonly workDir: string;
  readonly sizeMiB: number;
  /** Eight hex digits. */
  readonly volumeId: string;
  readonly entry: BootEntry;
  readonly kernel: Uint8Array;
  readonly initramfs: Uint8Array;
  readonly uefiLoader: Uint8Array;
}

/** The files of a new ESP: both boot loaders, and one entry, which is the last good one. Pure. */
export function espFiles(
  options: Omit<EspOptions, "target" | "workDir" | "sizeMiB" | "volumeId">,
): Map<string, Uint8Array> {
  const { entry } = options;
  const paths = kernelPaths(entry.bootcsum);
  const text = (content: string) => new TextEncoder().encode(content);
  return new Map([
    [ESP_PATHS.uefiLoader, options.uefiLoader],
    [ESP_PATHS.loaderConf, text(loaderConf())],
    [`${ESP_PATHS.entries}/${formatEntryName({ number: entry.number })}`, text(formatEntryFile(entry))],
    [ESP_PATHS.grubConfig, text(grubConfig())],
    [ESP_PATHS.grubenv, encodeGrubenv(grubenvFromView({ default: entry.id }))],
    [grubEntryPath(entry.id), text(formatGrubEntry(entry))],
    [paths.kernel, options.kernel],
    [paths.initramfs, options.initramfs],
  ]);
}

/** Makes the ESP's file system: FAT32 with clusters of 1 KiB, so that grubenv is one cluster. Returns what is in it. */
export async function writeEsp(options: EspOptions): Promise<{ path: string; bytes: number }[]> {
  await using file = await open(options.target, "w");
  await file.truncate(options.sizeMiB << 20);
  await run("mkfs.vfat", [
    "-F",
    "32",
    "-s",
    "2",
    "-n",
    "KEELSON",
    "-i",
    options.volumeId,
    "--invariant",
    options.target,
  ]);
  const files = espFiles(options);
  const tree = join(options.workDir, "esp");
  for (const [path, content] of files) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), content);
  }
  const top = [...new Set([...files.keys()].map((path) => join(tree, path.split("/")[1] ?? "")))];
  await run("mcopy", ["-s", "-Q", "-i", options.target, ...top, "::/"], {
    env: { MTOOLS_SKIP_CHECK: "1" },
  });
  return [...files].map(([path, content]) => ({ path, bytes: content.length }));
}
