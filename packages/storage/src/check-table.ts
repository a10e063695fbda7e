import { crc32c } from "@keelson/types";
import { unmaskCrc } from "./mask-crc.ts";
import { readVarint, unsnappy } from "./snappy.ts";

const FOOTER_BYTES = 48;
const TRAILER_BYTES = 5;
const MAGIC = 0xdb4775248b80fb57n;
/** Far above any block that our options produce, values of many megabytes included. */
const BLOCK_BYTES_MAX = 512 * 1024 * 1024;

interface Handle {
  readonly offset: number;
  readonly size: number;
}

/**
 * Verifies the checksum of every block of a LevelDB table (doc/table_format.md) and that the blocks account for every byte.
 * Returns what is wrong, or undefined. LevelDB would read damaged blocks as they are: entries vanish without an error, and
 * some damage makes it abort the process.
 */
export function checkTable(table: Uint8Array): string | undefined {
  const footer = readFooter(table);
  if (footer === undefined) return "its footer is damaged";
  const index = readBlock(table, footer.index);
  const meta = readBlock(table, footer.metaIndex);
  if (index === undefined || meta === undefined) return "its index is damaged";
  const handles = [...entryHandles(index), ...entryHandles(meta)];
  let covered = FOOTER_BYTES + footer.index.size + footer.metaIndex.size + 2 * TRAILER_BYTES;
  for (const handle of handles) {
    if (handle === undefined || !isBlockGood(table, handle))
      return `its block at byte ${handle?.offset ?? "?"} is damaged`;
    covered += handle.size + TRAILER_BYTES;
  }
  return covered === table.length ? undefined : "its blocks do not add up to its size";
}

function readFooter(table: Uint8Array): { index: Handle; metaIndex: Handle } | undefined {
  const start = table.length - FOOTER_BYTES;
  if (start < 0) return undefined;
  const view = new DataView(table.buffer, table.byteOffset + start, FOOTER_BYTES);
  const metaIndex = readHandle(table, start);
  if (view.getBigUint64(FOOTER_BYTES - 8, true) !== MAGIC || metaIndex === undefined) return undefined;
  const index = readHandle(table, metaIndex.next);
  if (index === undefined) return undefined;
  // The rest is zero, so that a flipped bit there does not pass either.
  const isPadded = table.subarray(index.next, table.length - 8).every((byte) => byte === 0);
  return isPadded ? { index, metaIndex } : undefined;
}

function readHandle(data: Uint8Array, at: number): (Handle & { readonly next: number }) | undefined {
  const offset = readVarint(data, at);
  const size = offset && readVarint(data, offset.next);
  return offset && size && { offset: offset.value, size: size.value, next: size.next };
}

function isBlockGood(table: Uint8Array, { offset, size }: Handle): boolean {
  const end = offset + size + TRAILER_BYTES;
  if (end > table.length - FOOTER_BYTES) return false;
  const view = new DataView(table.buffer, table.byteOffset + end - 4, 4);
  return crc32c(0, table.subarray(offset, end - 4)) === unmaskCrc(view.getUint32(0, true));
}

/** The content of a block, decompressed, or undefined when it is damaged. */
function readBlock(table: Uint8Array, handle: Handle): Uint8Array | undefined {
  if (!isBlockGood(table, handle)) return undefined;
  const raw = table.subarray(handle.offset, handle.offset + handle.size);
  return table[handle.offset + handle.size] === 0 ? raw : unsnappy(raw, BLOCK_BYTES_MAX);
}

/** The handles that are the values of an index block's entries. The block's checksum was good, so its form is, too. */
function* entryHandles(block: Uint8Array): Iterable<Handle | undefined> {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  const restarts = view.getUint32(block.length - 4, true);
  const end = block.length - 4 * (restarts + 1);
  for (let at = 0; at < end; ) {
    const shared = readVarint(block, at);
    const own = shared && readVarint(block, shared.next);
    const value = own && readVarint(block, own.next);
    if (own === undefined || value === undefined) return yield undefined;
    yield readHandle(block, value.next + own.value);
    at = value.next + own.value + value.value;
  }
}
