// Symbols for everyone who keeps something on disk.
export { BufferedKv, type TakenBatch } from "./buffered-kv.ts";
export { deleteRangeInParts } from "./delete-range-in-parts.ts";
export {
  StoreClosedError,
  StoreCorruptError,
  StoreOpenError,
  type StoreOpenReason,
  StoreWriteError,
  type StoreWriteReason,
} from "./errors.ts";
// Symbols below should only be relevant for other implementations of the port.
export { expandRanges, type PointOp, RANGE_KEYS_MAX, type ScanKeys } from "./expand-ranges.ts";
export {
  compareBytes,
  type KvEntry,
  type KvStore,
  type ScanOptions,
  type WriteOp,
  type WriteOptions,
} from "./kv-store.ts";
export { type LevelStore, type LevelStoreOptions, openLevelStore } from "./level-store.ts";
export { type ApplyBatch, WriteQueue } from "./write-queue.ts";
