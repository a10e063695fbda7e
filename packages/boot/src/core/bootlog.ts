import { crc32 } from "./crc32.ts";
import { numberOf } from "./entry-name.ts";
import { SECTOR_BYTES } from "./grubenv.ts";

/**
 * How far a boot came, in order. The initramfs writes the first three, the update agent the rest; `gate` is a boot whose
 * health gate was red, `good` one that was marked good.
 */
export const BOOT_STAGES = ["initramfs", "root-mounted", "switch-root", "userspace", "gate", "good"] as const;
export type BootStage = (typeof BOOT_STAGES)[number];

/** One boot attempt, in one sector of the bootlog partition. */
export interface BootRecord {
  /** Counts all boots of the machine; its record is in sector `1 + sequence % slots`. */
  readonly sequence: number;
  readonly entry: string;
  /** Counts the boots of this entry in a row, from 1. */
  readonly attempt: number;
  readonly stage: BootStage;
  /** What failed, or is being done. */
  readonly detail?: string;
}

/** The first sector: where the next record goes, and what booted last. */
export interface BootlogHead {
  /** Sequence number of the next boot. */
  readonly next: number;
  readonly entry: string;
  readonly attempt: number;
  /** The entry on trial, which the initramfs cannot learn otherwise. */
  readonly trial?: string;
}

/** Sectors: the head, then a ring of records. */
export const BOOTLOG_SECTORS = { head: 0, records: 1 } as const;
const NONE = "none";
const MAGIC = "keelson-bootlog";
const DETAIL_CHARS_MAX = 300;

/** The sector of a record. Pure. */
export function recordSector(sequence: number, partitionSectors: number): number {
  return BOOTLOG_SECTORS.records + (sequence % (partitionSectors - BOOTLOG_SECTORS.records));
}

/**
 * A sector: one line of `name=value` words with its CRC, then zeros. Text, because the initramfs writes it with a shell,
 * and because it can be read with `strings` when nothing else works. Pure.
 */
function encodeSector(words: readonly string[]): Uint8Array {
  const body = [MAGIC, ...words].join(" ");
  const crc = lineCrc(body);
  const line = `${body} crc=${crc.toString(16).padStart(8, "0")}\n`;
  const sector = new Uint8Array(SECTOR_BYTES);
  sector.set(Uint8Array.from(line, (c) => c.charCodeAt(0)));
  return sector;
}

/** Over the text and a line end, since that is what a shell's here-document gives to `crc32`. */
function lineCrc(body: string): number {
  return crc32(Uint8Array.from(`${body}\n`, (c) => c.charCodeAt(0)));
}

/** The words of a sector, or undefined when it is empty, torn or not ours. Pure. */
function decodeSector(sector: Uint8Array): Map<string, string> | undefined {
  const end = sector.indexOf(0x0a);
  if (end < 0 || end >= SECTOR_BYTES) return undefined;
  const line = String.fromCharCode(...sector.subarray(0, end));
  const match = /^(keelson-bootlog(?: [\x21-\x7e]+)*) crc=([0-9a-f]{8})$/.exec(line);
  const [, body, crc] = match ?? [];
  if (body === undefined || crc === undefined) return undefined;
  if (lineCrc(body) !== Number.parseInt(crc, 16)) return undefined;
  const words = new Map<string, string>();
  for (const word of body.split(" ").slice(1)) {
    const equals = word.indexOf("=");
    if (equals > 0) words.set(word.slice(0, equals), word.slice(equals + 1));
  }
  return words;
}

/** Pure. */
export function encodeRecord(record: BootRecord): Uint8Array {
  const detail = encodeDetail(record.detail ?? "");
  return encodeSector([
    `seq=${record.sequence}`,
    `entry=${record.entry}`,
    `attempt=${record.attempt}`,
    `stage=${record.stage}`,
    ...(detail === "" ? [] : [`detail=${detail}`]),
  ]);
}

/** Reads one sector; undefined when it holds no whole record. Pure. */
export function decodeRecord(sector: Uint8Array): BootRecord | undefined {
  const words = decodeSector(sector);
  const sequence = naturalOf(words?.get("seq"));
  const attempt = naturalOf(words?.get("attempt"));
  const entry = words?.get("entry");
  const stage = BOOT_STAGES.find((s) => s === words?.get("stage"));
  if (sequence === undefined || attempt === undefined || entry === undefined || stage === undefined) return undefined;
  const detail = decodeDetail(words?.get("detail") ?? "");
  return { sequence, entry, attempt, stage, ...(detail === "" ? {} : { detail }) };
}

/** Pure. */
export function encodeHead(head: BootlogHead): Uint8Array {
  const { next, entry, attempt, trial = NONE } = head;
  return encodeSector([`next=${next}`, `entry=${entry}`, `attempt=${attempt}`, `trial=${trial}`]);
}

/** Pure. */
export function decodeHead(sector: Uint8Array): BootlogHead | undefined {
  const words = decodeSector(sector);
  const next = naturalOf(words?.get("next"));
  const attempt = naturalOf(words?.get("attempt"));
  const entry = words?.get("entry");
  if (next === undefined || attempt === undefined || entry === undefined) return undefined;
  const trial = words?.get("trial");
  return { next, entry, attempt, ...(trial !== undefined && numberOf(trial) !== undefined ? { trial } : {}) };
}

/** A new partition's first sector; the initramfs relies on a line being there. Pure. */
export function emptyHead(): Uint8Array {
  return encodeHead({ next: 0, entry: NONE, attempt: 0 });
}

/** All whole records of a partition's bytes, oldest first. Pure. */
export function readBootlog(partition: Uint8Array): BootRecord[] {
  const records: BootRecord[] = [];
  for (let at = BOOTLOG_SECTORS.records * SECTOR_BYTES; at + SECTOR_BYTES <= partition.length; at += SECTOR_BYTES) {
    if (partition[at] !== MAGIC.charCodeAt(0)) continue;
    const record = decodeRecord(partition.subarray(at, at + SECTOR_BYTES));
    if (record !== undefined) records.push(record);
  }
  return records.sort((a, b) => a.sequence - b.sequence);
}

function naturalOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** One word of ASCII: everything else is percent-encoded, and what is too long is cut. */
function encodeDetail(detail: string): string {
  let out = "";
  for (const char of detail) {
    // encodeURIComponent refuses half a surrogate pair.
    const encoded = /^[A-Za-z0-9.,:;_()+/-]$/.test(char) ? char : encodeURIComponent(char.isWellFormed() ? char : "?");
    if (out.length + encoded.length > DETAIL_CHARS_MAX) break;
    out += encoded;
  }
  return out;
}

function decodeDetail(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
