import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { encodeGpt, guidFrom, layOutDisk, PARTITION_TYPES } from "./gpt.ts";
import { run } from "./run.ts";

export interface DiskOptions {
  readonly target: string;
  readonly rootfs: string;
  readonly espMiB: number;
  readonly rootMiB: number;
  /** Equal seeds give equal partition and file system ids. */
  readonly seed: string;
  readonly epoch: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A bootable disk as a sparse file: GPT with a place for the boot loader (the ESP, empty so far) and the ext4 root,
 * filled straight from the tree. No loop device, no mount, no root rights beyond reading the tree.
 */
export async function writeDisk(options: DiskOptions): Promise<{ sizeBytes: number; rootGuid: string }> {
  const guid = (what: string) => guidFrom(createHash("sha256").update(`${options.seed}/${what}`).digest("hex"));
  const disk = layOutDisk(guid("disk"), [
    ...(options.espMiB > 0
      ? [{ name: "esp", type: PARTITION_TYPES.esp, guid: guid("esp"), sizeMiB: options.espMiB }]
      : []),
    { name: "root", type: PARTITION_TYPES.rootX64, guid: guid("root"), sizeMiB: options.rootMiB },
  ]);
  await using file = await open(options.target, "w+");
  await file.truncate(disk.sizeBytes);
  for (const { offset, data } of encodeGpt(disk)) await file.write(data, 0, data.length, offset);
  const root = disk.partitions.find((p) => p.name === "root");
  if (root === undefined) throw new TypeError("unreachable: the root was just laid out");
  await run(
    "mkfs.ext4",
    [
      "-q",
      "-F",
      "-L",
      "root",
      "-U",
      guid("ext4"),
      "-m",
      "1",
      // Few inodes and no lazy work: the file is new, so it is zero already. fs-verity is for OSTree to come.
      "-N",
      "65536",
      "-O",
      "verity",
      "-E",
      `offset=${root.startBytes},hash_seed=${guid("hash")},lazy_itable_init=0,nodiscard`,
      "-d",
      options.rootfs,
      options.target,
      `${options.rootMiB}M`,
    ],
    { env: { E2FSPROGS_FAKE_TIME: String(options.epoch) }, signal: options.signal },
  );
  await file.sync();
  return { sizeBytes: disk.sizeBytes, rootGuid: root.guid };
}
