import { crc32c, unmaskCrc } from "./crc32c.ts";

const BLOCK_BYTES = 32 * 1024;
const HEADER_BYTES = 7;
const RECORD_TYPE_MAX = 4;

/** What a log file looks like. `torn` is where the last write was cut off; `damaged` is a bad record with good ones after it. */
export type LogState =
  | { readonly state: "whole" }
  | { readonly state: "torn"; readonly atByte: number }
  | { readonly state: "damaged"; readonly atByte: number };

/**
 * Checks the records of a LevelDB log (doc/log_format.md). LevelDB itself, opened without paranoid checks, skips damaged
 * records without a word and goes on with the next good one: committed batches would be missing from the middle. A bad
 * end is what a crash leaves and is dropped rightly.
 */
export function checkLog(log: Uint8Array): LogState {
  let badAt: number | undefined;
  for (let block = 0; block < log.length; block += BLOCK_BYTES) {
    const end = Math.min(block + BLOCK_BYTES, log.length);
    let at = block;
    while (at + HEADER_BYTES <= end) {
      const next = recordEnd(log, at, end);
      if (next === undefined) break;
      if (badAt !== undefined) return { state: "damaged", atByte: badAt };
      at = next;
    }
    // The writer fills the last bytes of a block, too few for a header, with zeros.
    const hasTrailer =
      end - at < HEADER_BYTES && end - block === BLOCK_BYTES && log.subarray(at, end).every((b) => b === 0);
    if (at < end && !hasTrailer) badAt ??= at;
  }
  return badAt === undefined ? { state: "whole" } : { state: "torn", atByte: badAt };
}

/** Where the record at `at` ends, or undefined when there is no good one. */
function recordEnd(log: Uint8Array, at: number, blockEnd: number): number | undefined {
  const view = new DataView(log.buffer, log.byteOffset + at, HEADER_BYTES);
  const length = view.getUint16(4, true);
  const type = view.getUint8(6);
  const end = at + HEADER_BYTES + length;
  if (type === 0 || type > RECORD_TYPE_MAX || end > blockEnd) return undefined;
  return crc32c(log.subarray(at + 6, end)) === unmaskCrc(view.getUint32(0, true)) ? end : undefined;
}
