import { crc32 } from "./crc32.ts";
import { BootStateError } from "./errors.ts";
import { SECTOR_BYTES } from "./grubenv.ts";

/** What has to be read of a disk: the protective MBR, the header, 128 entries of 128 bytes. */
export const GPT_SECTORS = 34;
const ENTRY_SECTORS = 32;
const ENTRY_BYTES = 128;
/** Partitions end on whole MiB. */
const ALIGNMENT_SECTORS = 2048;

/** How the last partition of a disk grows to its end. */
export interface GptGrowth {
  /** Counts from 1. */
  readonly partition: number;
  readonly startSector: number;
  readonly sectors: number;
  /** In this order, each durable before the next: at any instant one of the two tables is whole. */
  readonly writes: readonly { readonly sector: number; readonly data: Uint8Array }[];
}

/**
 * Grows the last partition of a GPT to the end of a disk that became larger, and moves the table's copy there (UEFI 2.10 §5.3).
 * `start` are the disk's first {@link GPT_SECTORS}. Undefined: there is nothing to grow. Pure.
 *
 * @throws BootStateError when the table is not one we understand, or another partition than `name` is the last
 */
export function growGpt(start: Uint8Array, diskSectors: number, name: string): GptGrowth | undefined {
  const header = start.slice(SECTOR_BYTES, 2 * SECTOR_BYTES);
  const entries = start.slice(2 * SECTOR_BYTES, GPT_SECTORS * SECTOR_BYTES);
  checkTable(header, entries);
  const view = new DataView(entries.buffer);
  const used = Array.from({ length: entries.length / ENTRY_BYTES }, (_, i) => i).filter((i) => !isEmpty(entries, i));
  const last = used.toSorted((a, b) => lastSector(view, b) - lastSector(view, a))[0];
  if (last === undefined || nameOf(entries, last) !== name) {
    throw new BootStateError(`the last partition of the disk is not ${name}; nothing is changed`);
  }
  const usable = diskSectors - ENTRY_SECTORS - 2;
  const end = Math.floor((usable + 1) / ALIGNMENT_SECTORS) * ALIGNMENT_SECTORS - 1;
  const startSector = Number(view.getBigUint64(last * ENTRY_BYTES + 32, true));
  if (end <= lastSector(view, last)) return undefined;
  view.setBigUint64(last * ENTRY_BYTES + 40, BigInt(end), true);
  const backup = diskSectors - 1;
  const crc = crc32(entries);
  return {
    partition: last + 1,
    startSector,
    sectors: end - startSector + 1,
    writes: [
      { sector: backup - ENTRY_SECTORS, data: entries },
      {
        sector: backup,
        data: makeHeader(header, { own: backup, other: 1, table: backup - ENTRY_SECTORS, usable, crc }),
      },
      { sector: 2, data: entries },
      { sector: 1, data: makeHeader(header, { own: 1, other: backup, table: 2, usable, crc }) },
    ],
  };
}

function checkTable(header: Uint8Array, entries: Uint8Array): void {
  const view = new DataView(header.buffer);
  const isOurs =
    String.fromCharCode(...header.subarray(0, 8)) === "EFI PART" &&
    view.getUint32(12, true) === 92 &&
    view.getBigUint64(72, true) === 2n &&
    view.getUint32(80, true) === 128 &&
    view.getUint32(84, true) === ENTRY_BYTES;
  const body = header.slice(0, 92);
  body.fill(0, 16, 20);
  const isWhole = crc32(body) === view.getUint32(16, true) && crc32(entries) === view.getUint32(88, true);
  if (!isOurs || !isWhole) throw new BootStateError("the disk's GPT is damaged or unusual; nothing is changed");
}

function makeHeader(
  header: Uint8Array,
  to: { own: number; other: number; table: number; usable: number; crc: number },
): Uint8Array {
  const next = header.slice();
  const view = new DataView(next.buffer);
  view.setUint32(16, 0, true);
  view.setBigUint64(24, BigInt(to.own), true);
  view.setBigUint64(32, BigInt(to.other), true);
  view.setBigUint64(48, BigInt(to.usable), true);
  view.setBigUint64(72, BigInt(to.table), true);
  view.setUint32(88, to.crc, true);
  view.setUint32(16, crc32(next.subarray(0, 92)), true);
  return next;
}

function isEmpty(entries: Uint8Array, index: number): boolean {
  return entries.subarray(index * ENTRY_BYTES, index * ENTRY_BYTES + 16).every((byte) => byte === 0);
}

function lastSector(view: DataView, index: number): number {
  return Number(view.getBigUint64(index * ENTRY_BYTES + 40, true));
}

function nameOf(entries: Uint8Array, index: number): string {
  const at = index * ENTRY_BYTES + 56;
  const units = Array.from(
    { length: 36 },
    (_, i) => (entries[at + 2 * i] ?? 0) | ((entries[at + 2 * i + 1] ?? 0) << 8),
  );
  const end = units.indexOf(0);
  return String.fromCharCode(...(end < 0 ? units : units.slice(0, end)));
}
