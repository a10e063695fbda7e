export type { MvccBackend } from "./backend.ts";
export { bytesToKey, compareBytes, keyToBytes } from "./bytes.ts";
export {
  CompactedError,
  CorruptValueError,
  DuplicateKeyError,
  FutureRevisionError,
  KeyNotFoundError,
  LeaseNotFoundError,
  MissingRevisionError,
  type MvccError,
} from "./errors.ts";
export type { EventLogLimits, WatchSource } from "./event-log.ts";
export type { HistoryOptions } from "./history.ts";
export { isEmptyRange, type KeyRange, keyRange, prefixEnd, rangeContains } from "./key-range.ts";
export type { KvHashTask } from "./kv-hash.ts";
export { MemoryBackend } from "./memory-backend.ts";
export { MvccRestore, type RestoreResult } from "./restore.ts";
export { MvccStore, StoreFailedError, type StoreOptions } from "./store.ts";
export { findDuplicateKey } from "./txn.ts";
export type {
  Compare,
  CompareResult,
  DeleteRangeOptions,
  DeleteRangeResult,
  HashResult,
  KeyValue,
  MvccEvent,
  PutOptions,
  PutResult,
  RangeOptions,
  RangeResult,
  RevisionEvents,
  SortOrder,
  SortTarget,
  Txn,
  TxnOp,
  TxnOpResult,
  TxnResult,
  WriteChecks,
  WriteResult,
} from "./types.ts";
export {
  type WatchCreation,
  type Watcher,
  type WatchFilter,
  WatchHub,
  type WatchHubOptions,
  type WatchPull,
  type WatchRequest,
} from "./watch-hub.ts";
