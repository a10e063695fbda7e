import type { MemberId } from "@keelson/types";

/** Kinds of log entries; the position is the number on the wire (raftpb.EntryType). */
export const ENTRY_TYPES = ["EntryNormal", "EntryConfChange", "EntryConfChangeV2"] as const;
/** One of {@link ENTRY_TYPES}. */
export type EntryType = (typeof ENTRY_TYPES)[number];

/** Kinds of messages; the position is the number on the wire (raftpb.MessageType). */
export const MESSAGE_TYPES = [
  "MsgHup",
  "MsgBeat",
  "MsgProp",
  "MsgApp",
  "MsgAppResp",
  "MsgVote",
  "MsgVoteResp",
  "MsgSnap",
  "MsgHeartbeat",
  "MsgHeartbeatResp",
  "MsgUnreachable",
  "MsgSnapStatus",
  "MsgCheckQuorum",
  "MsgTransferLeader",
  "MsgTimeoutNow",
  "MsgReadIndex",
  "MsgReadIndexResp",
  "MsgPreVote",
  "MsgPreVoteResp",
  "MsgStorageAppend",
  "MsgStorageAppendResp",
  "MsgStorageApply",
  "MsgStorageApplyResp",
  "MsgForgetLeader",
] as const;
/** One of {@link MESSAGE_TYPES}. */
export type MessageType = (typeof MESSAGE_TYPES)[number];

/** Roles of a node, under upstream's names because they are printed and served by `/metrics` and Status. */
export type RaftState = "StateFollower" | "StateCandidate" | "StateLeader" | "StatePreCandidate";

/** No node: no leader, no vote. */
export const NONE: MemberId = 0n;
/** Where MsgStorageAppend goes: whoever writes the log of this node to disk. */
export const LOCAL_APPEND_THREAD: MemberId = 0xffff_ffff_ffff_ffffn;
/** Where MsgStorageApply goes: whoever applies committed entries on this node. */
export const LOCAL_APPLY_THREAD: MemberId = 0xffff_ffff_ffff_fffen;

/** The empty byte string that stands for "absent". Shared: do not write to it. */
export const NO_BYTES: Uint8Array = new Uint8Array(0);
/** The shared empty list of messages that carry no entries. */
export const NO_ENTRIES: readonly Entry[] = Object.freeze([]);
/** See {@link NO_ENTRIES}. */
export const NO_MESSAGES: readonly Message[] = Object.freeze([]);

/** One slot of the replicated log. Immutable once it has an index. */
export interface Entry {
  /** The term of the leader that created it. 0 in a proposal. */
  readonly term: number;
  /** Its position; the first is 1. 0 in a proposal. */
  readonly index: number;
  readonly type: EntryType;
  readonly data: Uint8Array;
}

/** What must be on disk before a message that depends on it leaves the machine (Raft thesis 3.8). */
export interface HardState {
  readonly term: number;
  /** Whom this node voted for in `term`, or 0n. */
  readonly vote: MemberId;
  readonly commit: number;
}

/** What is worth showing and logging but need not survive a restart. */
export interface SoftState {
  readonly lead: MemberId;
  readonly raftState: RaftState;
}

/** The membership as stored in snapshots. Not joint when `votersOutgoing` is empty. */
export interface ConfState {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
  readonly votersOutgoing: readonly MemberId[];
  /** Voters of the outgoing half that become learners once the joint configuration is left. */
  readonly learnersNext: readonly MemberId[];
  /** Whether the leader leaves the joint configuration by itself. */
  readonly autoLeave: boolean;
}

/** Where in the log a snapshot stands, and the membership there. */
export interface SnapshotMetadata {
  readonly confState: ConfState;
  readonly index: number;
  readonly term: number;
}

/** The application's state at `metadata.index`; a metadata index of 0 means "no snapshot". */
export interface Snapshot {
  readonly data: Uint8Array;
  readonly metadata: SnapshotMetadata;
}

/** Everything nodes say to each other, and to their own storage when writes are asynchronous. */
export interface Message {
  readonly type: MessageType;
  readonly to: MemberId;
  readonly from: MemberId;
  /** 0 marks a message without a term: local ones, and proposals on their way to the leader. */
  readonly term: number;
  readonly logTerm: number;
  readonly index: number;
  readonly entries: readonly Entry[];
  readonly commit: number;
  /** Only in MsgStorageAppend, together with `term` and `commit`: the hard state to store. */
  readonly vote: MemberId;
  readonly snapshot?: Snapshot | undefined;
  readonly reject: boolean;
  readonly rejectHint: number;
  readonly context: Uint8Array;
  /** To be delivered once the storage work of this message is done. */
  readonly responses: readonly Message[];
}

/** A message while it is being filled in. */
export type MessageDraft = { -readonly [K in keyof Message]: Message[K] };

/** A message with every field at its zero. All messages are made here, so that they share one object shape. */
export function newMessage(type: MessageType, to: MemberId): MessageDraft {
  return {
    type,
    to,
    from: NONE,
    term: 0,
    logTerm: 0,
    index: 0,
    entries: NO_ENTRIES,
    commit: 0,
    vote: NONE,
    snapshot: undefined,
    reject: false,
    rejectHint: 0,
    context: NO_BYTES,
    responses: NO_MESSAGES,
  };
}

/** The answer to {@link Message} MsgReadIndex: reads tagged `context` are linearizable once `index` is applied. */
export interface ReadState {
  readonly index: number;
  readonly context: Uint8Array;
}

/** How a leader proves that it still leads before it answers a read. `lease-based` trusts clocks; it needs checkQuorum. */
export type ReadOnlyOption = "safe" | "lease-based";

/** The hard state of a node that has never run. */
export const EMPTY_HARD_STATE: HardState = Object.freeze({ term: 0, vote: NONE, commit: 0 });
/** A membership of nobody. */
export const EMPTY_CONF_STATE: ConfState = Object.freeze({
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
});
/** No snapshot. */
export const EMPTY_SNAPSHOT: Snapshot = Object.freeze({
  data: NO_BYTES,
  metadata: Object.freeze({ confState: EMPTY_CONF_STATE, index: 0, term: 0 }),
});

/** Whether two hard states are equal. */
export function sameHardState(a: HardState, b: HardState): boolean {
  return a.term === b.term && a.vote === b.vote && a.commit === b.commit;
}

/** Whether there is nothing to store: no term, vote or commit yet. */
export function isEmptyHardState(hs: HardState | undefined): boolean {
  return hs === undefined || sameHardState(hs, EMPTY_HARD_STATE);
}

/** Older members send an empty snapshot with every message; it means none. */
export function isEmptySnapshot(snap: Snapshot | undefined): boolean {
  return snap === undefined || snap.metadata.index === 0;
}

const LOCAL_MESSAGES: ReadonlySet<MessageType> = new Set([
  "MsgHup",
  "MsgBeat",
  "MsgUnreachable",
  "MsgSnapStatus",
  "MsgCheckQuorum",
  "MsgStorageAppend",
  "MsgStorageAppendResp",
  "MsgStorageApply",
  "MsgStorageApplyResp",
]);

const RESPONSE_MESSAGES: ReadonlySet<MessageType> = new Set([
  "MsgAppResp",
  "MsgVoteResp",
  "MsgHeartbeatResp",
  "MsgUnreachable",
  "MsgReadIndexResp",
  "MsgPreVoteResp",
  "MsgStorageAppendResp",
  "MsgStorageApplyResp",
]);

/** Whether a message of this type must never come from the network. */
export function isLocalMessage(type: MessageType): boolean {
  return LOCAL_MESSAGES.has(type);
}

/** Whether a message of this type answers an earlier one, so that its sender must be known. */
export function isResponseMessage(type: MessageType): boolean {
  return RESPONSE_MESSAGES.has(type);
}

/** Whether the id names this node's own storage rather than a peer. */
export function isLocalTarget(id: MemberId): boolean {
  return id === LOCAL_APPEND_THREAD || id === LOCAL_APPLY_THREAD;
}
