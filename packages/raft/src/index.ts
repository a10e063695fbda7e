// ---- The node ----

export type { RaftConfig } from "./config.ts";
export type { RaftLogger } from "./logger.ts";
export { type Peer, RawNode, type StepOutcome } from "./rawnode.ts";
export type { Ready } from "./ready.ts";
export { type BasicStatus, describeProgress, type ProgressStatus, type Status, statusJson } from "./status.ts";
export type { StepResult } from "./step.ts";
export type { ProgressState } from "./tracker/progress.ts";
export { describeConfig, type TrackerConfig } from "./tracker/tracker.ts";

// ---- What it speaks of ----

export {
  type AnyConfChange,
  asV2,
  type ConfChange,
  type ConfChangeSingle,
  type ConfChangeTransition,
  type ConfChangeType,
  type ConfChangeV2,
  confChange,
  formatConfChanges,
  parseConfChanges,
} from "./conf-change.ts";
export { sameConfState } from "./conf-state.ts";
export {
  type ConfState,
  EMPTY_CONF_STATE,
  EMPTY_HARD_STATE,
  EMPTY_SNAPSHOT,
  type Entry,
  type EntryType,
  type HardState,
  isEmptyHardState,
  isEmptySnapshot,
  isLocalTarget,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  type MessageDraft,
  type MessageType,
  NONE,
  newMessage,
  type RaftState,
  type ReadOnlyOption,
  type ReadState,
  type Snapshot,
  type SnapshotMetadata,
  type SoftState,
} from "./types.ts";

// ---- Where its log lives ----

export { MemoryStorage } from "./memory-storage.ts";
export type { IndexGap, RaftStorage } from "./storage.ts";

// ---- On the wire and on disk: raftpb. Decoders throw RaftDecodeError; what they return are views of their input ----

export {
  confChangeOf,
  decodeConfChange,
  decodeConfChangeV2,
  encodeConfChange,
  encodeConfChangeV2,
} from "./codec/conf-change.ts";
export { decodeMessage, encodeMessage, messageBytes } from "./codec/message.ts";
export {
  decodeConfState,
  decodeEntry,
  decodeHardState,
  decodeSnapshot,
  encodeConfState,
  encodeEntry,
  encodeHardState,
  encodeSnapshot,
} from "./codec/state.ts";
export { entriesBytes, entryBytes, payloadBytes } from "./size.ts";

// ---- For people: upstream's texts ----

export {
  describeConfChange,
  describeConfState,
  describeEntries,
  describeEntry,
  describeHardState,
  describeMessage,
  describeReady,
  describeSnapshot,
  describeSoftState,
  type EntryFormatter,
} from "./describe.ts";

// ---- Errors, each with a stable `code` ----

export {
  CompactedError,
  ConfChangeError,
  RaftConfigError,
  RaftDecodeError,
  RaftUsageError,
  SnapshotOutOfDateError,
} from "./errors.ts";
