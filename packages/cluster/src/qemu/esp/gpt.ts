import { ClusterError } from "../../errors.ts";

const SECTOR_BYTES = 512;
const ENTRIES_MAX = 1024;

/** A part of a disk, in bytes from its start. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** Reads a part of a disk. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>;

/** Where the partition of that GPT name is; undefined when the disk has none. @throws ClusterError without a GPT */
export async function findPartition(read: ReadAt, name: string): Promise<Extent | undefined> {
  const header = await read(SECTOR_BYTES, SECTOR_BYTES);
  if (header.toString("latin1", 0, 8) !== "EFI PART") throw new ClusterError("the disk has no GPT");
  const tableOffset = Number(header.readBigUInt64LE(72)) * SECTOR_BYTES;
  const count = Math.min(header.readUInt32LE(80), ENTRIES_MAX);
  const entryBytes = header.readUInt32LE(84);
  const table = await read(tableOffset, count * entryBytes);
  for (let at = 0; at + entryBytes <= table.length; at += entryBytes) {
    const label = table.toString("utf16le", at + 56, at + 128).replace(/\0.*$/s, "");
    if (label !== name || table.subarray(at, at + 16).every((byte) => byte === 0)) continue;
    const first = Number(table.readBigUInt64LE(at + 32));
    const last = Number(table.readBigUInt64LE(at + 40));
    return { offset: first * SECTOR_BYTES, length: (last - first + 1) * SECTOR_BYTES };
  }
  return undefined;
}
