import { open, readFile, rename, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { BootStateError } from "./core/errors.ts";
import { GPT_SECTORS, growGpt } from "./core/gpt-grow.ts";
import { SECTOR_BYTES } from "./core/grubenv.ts";

export interface GrowOptions {
  /** The partition's device file, such as `/dev/vda4`. */
  readonly device: string;
  /** Its GPT name. */
  readonly name: string;
  /** Remembers the disk's size, in sectors, once all of it is used. */
  readonly marker: string;
  /** Runs a program to its end; rejects when it fails. */
  readonly run: (program: string, args: readonly string[]) => Promise<void>;
  /** Default `/sys`. */
  readonly sys?: string;
}

/**
 * Grows a mounted ext4 file system to the end of its disk: the partition table, the kernel's view of it (`partx`), the file
 * system (`resize2fs`), then the marker by which later boots know. A power cut anywhere leaves something that the next
 * boot completes. Returns the disk's size in bytes.
 */
export async function growRoot(options: GrowOptions): Promise<number> {
  const { device, name, marker, run, sys = "/sys" } = options;
  const partition = `${sys}/class/block/${basename(device)}`;
  const uevent = await readFile(`${partition}/../uevent`, "utf8");
  const disk = /^DEVNAME=(.+)$/m.exec(uevent)?.[1];
  const sectors = Number(await readFile(`${partition}/../size`, "utf8"));
  if (disk === undefined || !Number.isSafeInteger(sectors))
    throw new BootStateError(`cannot find the disk of ${device}`);
  const number = await growTable(`/dev/${disk}`, sectors, name);
  if (number !== undefined) await run("partx", ["--update", "--nr", String(number), `/dev/${disk}`]);
  // The root is mounted read-only in places, and the kernel resizes through one that is not: in a namespace of its own.
  await run("unshare", ["--mount", "sh", "-c", 'mount -o remount,bind,rw / && exec resize2fs "$0"', device]);
  await writeFile(`${marker}.new`, `${sectors}\n`, { flush: true });
  await rename(`${marker}.new`, marker);
  return sectors * SECTOR_BYTES;
}

async function growTable(disk: string, sectors: number, name: string): Promise<number | undefined> {
  await using file = await open(disk, "r+");
  const start = new Uint8Array(GPT_SECTORS * SECTOR_BYTES);
  await file.read(start, 0, start.length, 0);
  const growth = growGpt(start, sectors, name);
  for (const { sector, data } of growth?.writes ?? []) {
    await file.write(data, 0, data.length, sector * SECTOR_BYTES);
    await file.sync();
  }
  return growth?.partition;
}
