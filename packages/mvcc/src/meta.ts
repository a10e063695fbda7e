import type { Revision } from "@keelson/types";
import { crc32c } from "@keelson/types";
import { getU32, META_SPACE, putU32, putVarint, VarintReader, varintSize } from "./codec.ts";
import { CorruptValueError } from "./errors.ts";

const CURRENT_TAG = 1;
const COMPACTION_TAG = 2;

/** Written with every revision: what a restored store must come to. */
export interface CurrentMeta {
  readonly revision: Revision;
  readonly liveKeys: number;
  readonly hashLow: number;
  readonly hashHigh: number;
}

/** Written when a compaction is ordered and with every step of its deletions. */
export interface CompactionMeta {
  readonly compactRevision: Revision;
  /** Everything before this position is already clean; from it on, records are gapless. */
  readonly cursorMain: Revision;
  readonly cursorSub: number;
  readonly done: boolean;
}

export function currentMetaKey(prefix: number): Uint8Array {
  return new Uint8Array([prefix, META_SPACE, CURRENT_TAG]);
}

export function compactionMetaKey(prefix: number): Uint8Array {
  return new Uint8Array([prefix, META_SPACE, COMPACTION_TAG]);
}

export function encodeCurrentMeta(meta: CurrentMeta): Uint8Array {
  const bytes = new Uint8Array(12 + varintSize(meta.revision) + varintSize(meta.liveKeys));
  putU32(bytes, 0, meta.hashLow);
  putU32(bytes, 4, meta.hashHigh);
  return seal(bytes, putVarint(bytes, putVarint(bytes, 8, meta.revision), meta.liveKeys));
}

export function decodeCurrentMeta(bytes: Uint8Array): CurrentMeta {
  verify(bytes, "current revision");
  const reader = new VarintReader(bytes, 8);
  return { hashLow: getU32(bytes, 0), hashHigh: getU32(bytes, 4), revision: reader.next(), liveKeys: reader.next() };
}

export function encodeCompactionMeta(meta: CompactionMeta): Uint8Array {
  const fields = [meta.compactRevision, meta.cursorMain, meta.cursorSub, meta.done ? 1 : 0];
  const bytes = new Uint8Array(4 + fields.reduce((size, field) => size + varintSize(field), 0));
  return seal(
    bytes,
    fields.reduce((at, field) => putVarint(bytes, at, field), 0),
  );
}

export function decodeCompactionMeta(bytes: Uint8Array): CompactionMeta {
  verify(bytes, "compaction");
  const reader = new VarintReader(bytes, 0);
  const compactRevision = reader.next();
  const cursorMain = reader.next();
  const cursorSub = reader.next();
  return { compactRevision, cursorMain, cursorSub, done: reader.next() === 1 };
}

function seal(bytes: Uint8Array, at: number): Uint8Array {
  putU32(bytes, at, crc32c(0, bytes, 0, at));
  return bytes;
}

function verify(bytes: Uint8Array, what: string): void {
  const end = bytes.length - 4;
  if (end < 1 || crc32c(0, bytes, 0, end) !== getU32(bytes, end))
    throw new CorruptValueError(`wrong checksum of the ${what} record`, { bytes: bytes.length });
}
