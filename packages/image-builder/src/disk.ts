import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { emptyHead, PARTITION_NAMES } from "@keelson/boot";
import { ImageBuildError } from "./errors.ts";
import { type DiskLayout, encodeGpt, guidFrom, layOutDisk, PARTITION_TYPES, SECTOR_BYTES } from "./gpt.ts";
import { makeGrub } from "./grub.ts";
import { run } from "./run.ts";

/** Sizes of the partitions that no image changes. */
const BIOS_MIB = 1;
const BOOTLOG_MIB = 1;
const ESP_NUMBER = 2;

export interface DiskOptions {
  readonly target: string;
  readonly workDir: string;
  /** What becomes the root partition. */
  readonly sysroot: string;
  /** The image of the ESP's file system. */
  readonly esp: string;
  readonly layout: DiskLayout;
  readonly seed: string;
  readonly epoch: number;
  readonly signal?: AbortSignal | undefined;
}

/** The four partitions of a disk. Equal seeds give equal ids. Pure. */
export function planDisk(options: { espMiB: number; rootMiB: number; seed: string }): DiskLayout {
  const guid = (what: string) => seededGuid(options.seed, what);
  const partition = (name: string, type: string, sizeMiB: number) => ({
    name,
    type,
    guid: guid(name),
    sizeMiB,
  });
  return layOutDisk(guid("disk"), [
    partition(PARTITION_NAMES.bios, PARTITION_TYPES.biosBoot, BIOS_MIB),
    partition(PARTITION_NAMES.esp, PARTITION_TYPES.esp, options.espMiB),
    partition(PARTITION_NAMES.bootlog, PARTITION_TYPES.linuxData, BOOTLOG_MIB),
    partition(PARTITION_NAMES.root, PARTITION_TYPES.rootX64, options.rootMiB),
  ]);
}

/** The partition of a name. Pure. */
export function partitionOf(layout: DiskLayout, name: string) {
  const found = layout.partitions.find((partition) => partition.name === name);
  if (found === undefined) throw new ImageBuildError(`the disk has no partition ${name}`);
  return found;
}

function seededGuid(seed: string, what: string): string {
  return guidFrom(createHash("sha256").update(`${seed}/${what}`).digest("hex"));
}

/**
 * A bootable disk as a sparse file: GPT, GRUB for BIOS, the ESP, the log of boots, and the ext4 root, filled straight from a
 * tree. No loop device, no mount, no root rights beyond reading the tree.
 */
export async function writeDisk(options: DiskOptions): Promise<void> {
  const { layout } = options;
  const at = (name: string) => partitionOf(layout, name);
  const bios = at(PARTITION_NAMES.bios);
  const grub = await makeGrub(options.workDir, ESP_NUMBER, bios.startBytes / SECTOR_BYTES);
  if (grub.core.length > bios.sizeBytes) throw new ImageBuildError(`GRUB's core image has ${grub.core.length} bytes`);
  await using file = await open(options.target, "w+");
  await file.truncate(layout.sizeBytes);
  for (const { offset, data } of encodeGpt(layout, grub.bootCode)) await file.write(data, 0, data.length, offset);
  await file.write(grub.core, 0, grub.core.length, bios.startBytes);
  const head = emptyHead();
  await file.write(head, 0, head.length, at(PARTITION_NAMES.bootlog).startBytes);
  await copySparse(options.esp, file, at(PARTITION_NAMES.esp).startBytes);
  await fillRoot(options);
  await file.sync();
}

async function fillRoot({ target, sysroot, layout, seed, epoch, signal }: DiskOptions): Promise<void> {
  const root = partitionOf(layout, PARTITION_NAMES.root);
  const settings = [
    `offset=${root.startBytes}`,
    `hash_seed=${seededGuid(seed, "hash")}`,
    "lazy_itable_init=0",
    "nodiscard",
  ];
  const args = [
    ["-q", "-F", "-L", "root", "-U", seededGuid(seed, "ext4"), "-m", "1"],
    // Few inodes and no lazy work: the file is new, so it is zero already. fs-verity is for later.
    ["-N", "65536", "-O", "verity", "-E", settings.join(",")],
    ["-d", sysroot, target, `${root.sizeMiB}M`],
  ];
  await run("mkfs.ext4", args.flat(), {
    env: { E2FSPROGS_FAKE_TIME: String(epoch) },
    signal,
  });
}

/** Copies a file into another without writing its zeros. */
async function copySparse(source: string, target: FileHandle, offset: number): Promise<void> {
  let at = offset;
  const stream: AsyncIterable<Buffer> = createReadStream(source, {
    highWaterMark: 1 << 16,
  });
  for await (const chunk of stream) {
    if (!chunk.every((byte) => byte === 0)) await target.write(chunk, 0, chunk.length, at);
    at += chunk.length;
  }
}
