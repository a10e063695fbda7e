import { crc32c } from "@keelson/types";
import { unmaskCrc } from "./mask-crc.ts";

const BLOCK_BYTES = 32 * 1024;
const HEADER_BYTES = 7;
const FULL = 1;
const LAST = 4;
const RECORD_TYPE_MAX = LAST;
const SECTOR_BYTES = 512;

/** What a log file looks like. `torn` is where the last write was cut off; `damaged` is a record that a crash does not explain. */
export type LogState =
  | { readonly state: "whole" }
  | { readonly state: "torn"; readonly atByte: number }
  | { readonly state: "damaged"; readonly atByte: number };

/**
 * Checks the records of a LevelDB log or manifest (doc/log_format.md). LevelDB itself, opened without paranoid checks, skips
 * damaged records without a word and goes on with the next good one, so committed batches would be missing from the middle.
 * Only an end that a crash leaves is accepted: a last record that stops at the end of the file, or sectors of zeros that
 * were never written. The same test as etcd's for its write-ahead log (server/storage/wal/decoder.go isTornEntry).
 */
export function checkLog(log: Uint8Array): LogState {
  for (let block = 0; block < log.length; block += BLOCK_BYTES) {
    const end = Math.min(block + BLOCK_BYTES, log.length);
    const at = goodUntil(log, block, end);
    if (at === end || isTrailer(log, at, end, block)) continue;
    const isTorn = !hasGoodRecord(log, at + 1) && (looksCutOff(log, at) || hasZeroSector(log, at));
    return { state: isTorn ? "torn" : "damaged", atByte: at };
  }
  return { state: "whole" };
}

/** The whole records of a log that was checked, their fragments joined. */
export function* readRecords(log: Uint8Array): Iterable<Uint8Array> {
  let parts: Uint8Array[] = [];
  for (let block = 0; block < log.length; block += BLOCK_BYTES) {
    const blockEnd = Math.min(block + BLOCK_BYTES, log.length);
    let at = block;
    for (let end = recordEnd(log, at, blockEnd); end !== undefined; end = recordEnd(log, at, blockEnd)) {
      parts.push(log.subarray(at + HEADER_BYTES, end));
      const type = log[at + 6];
      at = end;
      if (type !== FULL && type !== LAST) continue;
      yield parts.length === 1 ? (parts[0] as Uint8Array) : new Uint8Array(Buffer.concat(parts));
      parts = [];
    }
  }
}

/** Where the good records of a block end. */
function goodUntil(log: Uint8Array, block: number, end: number): number {
  let at = block;
  for (let next = recordEnd(log, at, end); next !== undefined; next = recordEnd(log, at, end)) at = next;
  return at;
}

/** The writer fills the last bytes of a full block, too few for a header, with zeros. */
function isTrailer(log: Uint8Array, at: number, end: number, block: number): boolean {
  return end - at < HEADER_BYTES && end - block === BLOCK_BYTES && log.subarray(at, end).every((b) => b === 0);
}

/** Where the record at `at` ends, or undefined when there is no good one. */
function recordEnd(log: Uint8Array, at: number, blockEnd: number): number | undefined {
  const header = readHeader(log, at, blockEnd);
  if (header === undefined || header.type === 0 || header.type > RECORD_TYPE_MAX) return undefined;
  const end = at + HEADER_BYTES + header.length;
  return end <= blockEnd && crc32c(0, log.subarray(at + 6, end)) === header.crc ? end : undefined;
}

function readHeader(log: Uint8Array, at: number, blockEnd: number) {
  if (at + HEADER_BYTES > blockEnd) return undefined;
  const view = new DataView(log.buffer, log.byteOffset + at, HEADER_BYTES);
  return { crc: unmaskCrc(view.getUint32(0, true)), length: view.getUint16(4, true), type: view.getUint8(6) };
}

/**
 * True when a good record begins after `from`: what lies before it was written earlier. Within the block of `from` any byte is
 * tried, since a damaged length hides where the next record begins; the later blocks all begin with a record.
 */
function hasGoodRecord(log: Uint8Array, from: number): boolean {
  for (let at = from; at < log.length; ) {
    const block = at - (at % BLOCK_BYTES);
    if (recordEnd(log, at, Math.min(block + BLOCK_BYTES, log.length)) !== undefined) return true;
    at = block === from - (from % BLOCK_BYTES) ? at + 1 : block + BLOCK_BYTES;
  }
  return false;
}

/** True when the record at `at` goes beyond the end of the file, and not merely because its length was damaged. */
function looksCutOff(log: Uint8Array, at: number): boolean {
  const header = readHeader(log, at, log.length);
  if (header === undefined) return true;
  if (at + HEADER_BYTES + header.length <= log.length) return false;
  return crc32c(0, log.subarray(at + 6)) !== header.crc;
}

function hasZeroSector(log: Uint8Array, from: number): boolean {
  for (let at = from; at < log.length; ) {
    const end = Math.min(at - (at % SECTOR_BYTES) + SECTOR_BYTES, log.length);
    if (log.subarray(at, end).every((b) => b === 0)) return true;
    at = end;
  }
  return false;
}
