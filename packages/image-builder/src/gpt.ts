import { crc32 } from "node:zlib";
import { ImageBuildError } from "./errors.ts";

export const SECTOR_BYTES = 512;
/** Partitions start on whole MiB, as every tool does. */
export const MIB = 1 << 20;
/** What of the MBR is code; the disk signature and the partitions follow. */
const BOOT_CODE_BYTES = 440;
const ENTRY_COUNT = 128;
const ENTRY_BYTES = 128;
const ENTRY_SECTORS = (ENTRY_COUNT * ENTRY_BYTES) / SECTOR_BYTES;

/** Partition types (UEFI; Discoverable Partitions Specification). */
export const PARTITION_TYPES = {
  esp: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
  /** GRUB's core image, where a BIOS boots from GPT. */
  biosBoot: "21686148-6449-6e6f-744e-656564454649",
  linuxData: "0fc63daf-8483-4772-8e79-3d69d8477de4",
  rootX64: "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
} as const;

export interface Partition {
  /** GPT name, found as /dev/disk/by-partlabel/… and by `root=PARTLABEL=`. At most 36 UTF-16 units. */
  readonly name: string;
  readonly type: string;
  readonly guid: string;
  readonly sizeMiB: number;
}

export interface PlacedPartition extends Partition {
  readonly startBytes: number;
  readonly sizeBytes: number;
}

export interface DiskLayout {
  readonly guid: string;
  readonly sizeBytes: number;
  readonly partitions: readonly PlacedPartition[];
}

/** Lays partitions out one after the other from 1 MiB; 1 MiB at the end holds the backup table. Pure. */
export function layOutDisk(guid: string, partitions: readonly Partition[]): DiskLayout {
  if (partitions.length > ENTRY_COUNT) throw new ImageBuildError(`a disk has at most ${ENTRY_COUNT} partitions`);
  let nextBytes = MIB;
  const placed = partitions.map((partition) => {
    if (!Number.isInteger(partition.sizeMiB) || partition.sizeMiB < 1) {
      throw new ImageBuildError(
        `partition ${partition.name} of ${partition.sizeMiB} MiB: a whole number from 1 is needed`,
      );
    }
    const startBytes = nextBytes;
    const sizeBytes = partition.sizeMiB * MIB;
    nextBytes += sizeBytes;
    return { ...partition, startBytes, sizeBytes };
  });
  return { guid, partitions: placed, sizeBytes: nextBytes + MIB };
}

/** The protective MBR (with a boot loader's code) and both copies of the table, with where to write them. Pure. */
export function encodeGpt(
  disk: DiskLayout,
  bootCode?: Uint8Array,
): { readonly offset: number; readonly data: Uint8Array }[] {
  const sectors = disk.sizeBytes / SECTOR_BYTES;
  const entries = Buffer.alloc(ENTRY_COUNT * ENTRY_BYTES);
  disk.partitions.forEach((p, i) => entries.set(encodeEntry(p), i * ENTRY_BYTES));
  const last = sectors - 1;
  const header = (own: number, other: number, table: number) =>
    encodeHeader(disk.guid, { own, other, table, sectors }, entries);
  return [
    { offset: 0, data: Buffer.concat([protectiveMbr(sectors, bootCode), header(1, last, 2), entries]) },
    {
      offset: (last - ENTRY_SECTORS) * SECTOR_BYTES,
      data: Buffer.concat([entries, header(last, 1, last - ENTRY_SECTORS)]),
    },
  ];
}

function protectiveMbr(sectors: number, bootCode: Uint8Array = new Uint8Array()): Buffer {
  const mbr = Buffer.alloc(SECTOR_BYTES);
  mbr.set(bootCode.subarray(0, BOOT_CODE_BYTES));
  mbr.set([0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff], 446);
  mbr.writeUInt32LE(1, 454);
  mbr.writeUInt32LE(Math.min(sectors - 1, 0xffffffff), 458);
  mbr.writeUInt16LE(0xaa55, 510);
  return mbr;
}

function encodeEntry(partition: PlacedPartition): Buffer {
  const entry = Buffer.alloc(ENTRY_BYTES);
  encodeGuid(partition.type).copy(entry, 0);
  encodeGuid(partition.guid).copy(entry, 16);
  entry.writeBigUInt64LE(BigInt(partition.startBytes / SECTOR_BYTES), 32);
  entry.writeBigUInt64LE(BigInt((partition.startBytes + partition.sizeBytes) / SECTOR_BYTES - 1), 40);
  entry.write(partition.name.slice(0, 36), 56, "utf16le");
  return entry;
}

function encodeHeader(
  guid: string,
  at: { own: number; other: number; table: number; sectors: number },
  entries: Buffer,
): Buffer {
  const header = Buffer.alloc(SECTOR_BYTES);
  header.write("EFI PART", 0, "latin1");
  header.writeUInt32LE(0x10000, 8);
  header.writeUInt32LE(92, 12);
  header.writeBigUInt64LE(BigInt(at.own), 24);
  header.writeBigUInt64LE(BigInt(at.other), 32);
  header.writeBigUInt64LE(BigInt(2 + ENTRY_SECTORS), 40);
  header.writeBigUInt64LE(BigInt(at.sectors - 2 - ENTRY_SECTORS), 48);
  encodeGuid(guid).copy(header, 56);
  header.writeBigUInt64LE(BigInt(at.table), 72);
  header.writeUInt32LE(ENTRY_COUNT, 80);
  header.writeUInt32LE(ENTRY_BYTES, 84);
  header.writeUInt32LE(crc32(entries), 88);
  header.writeUInt32LE(crc32(header.subarray(0, 92)), 16);
  return header;
}

/** A GUID's bytes on disk: the first three groups are little-endian. Pure. */
export function encodeGuid(guid: string): Buffer {
  const hex = guid.replaceAll("-", "");
  if (!/^[0-9a-f]{32}$/i.test(hex)) throw new ImageBuildError(`${JSON.stringify(guid)} is not a GUID`);
  const b = Buffer.from(hex, "hex");
  return Buffer.concat([
    b.subarray(0, 4).toReversed(),
    b.subarray(4, 6).toReversed(),
    b.subarray(6, 8).toReversed(),
    b.subarray(8),
  ]);
}

/** A stable GUID from a text (version 8, RFC 9562), so that equal builds have equal disks. Takes SHA-256 hex. Pure. */
export function guidFrom(sha256Hex: string): string {
  const b = Buffer.from(sha256Hex.slice(0, 32), "hex");
  b[6] = ((b[6] ?? 0) & 0x0f) | 0x80;
  b[8] = ((b[8] ?? 0) & 0x3f) | 0x80;
  const h = b.toString("hex");
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
}
