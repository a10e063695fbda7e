import type { Raft } from "./raft.ts";
import {
  type Entry,
  type HardState,
  isEmptyHardState,
  isEmptySnapshot,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  newMessage,
  type ReadState,
  type Snapshot,
  type SoftState,
} from "./types.ts";

/** Work for the application: what to store, send and apply. Read-only. */
export interface Ready {
  /** Set when the leader or the role changed. Need not be stored. */
  readonly softState?: SoftState;
  /** Set when it changed: store it before sending `messages`. */
  readonly hardState?: HardState;
  /** Reads that may be served once their index is applied. */
  readonly readStates: readonly ReadState[];
  /** Store these before sending `messages`; they replace what is stored at their indexes and after. */
  readonly entries: readonly Entry[];
  /** Store it, and replace the application's state by it. */
  readonly snapshot?: Snapshot;
  /** Apply these, in order; they are stored by a quorum. */
  readonly committedEntries: readonly Entry[];
  /** To peers, after the above is stored. With asynchronous storage writes at once, and including the work for storage. */
  readonly messages: readonly Message[];
  /** Whether the write must reach the disk (fsync) before `messages` go out, or only keep its order. */
  readonly mustSync: boolean;
}

/** Whether stored state changed in a way that a crash must not undo: entries, vote or term, but not the commit index. */
export function mustSync(now: HardState, before: HardState, entryCount: number): boolean {
  return entryCount !== 0 || now.vote !== before.vote || now.term !== before.term;
}

type Work = Pick<Ready, "entries" | "hardState" | "snapshot" | "committedEntries">;

/** The messages to local storage that a Ready stands for when writes are asynchronous. */
export function storageMessages(r: Raft, rd: Work): Message[] {
  const out: Message[] = [];
  if (needsAppend(r, rd)) out.push(storageAppend(r, rd));
  if (rd.committedEntries.length > 0) {
    const m = newMessage("MsgStorageApply", LOCAL_APPLY_THREAD);
    m.from = r.id;
    m.entries = rd.committedEntries;
    m.responses = [storageApplyResponse(r, rd.committedEntries)];
    out.push(m);
  }
  return out;
}

function needsAppend(r: Raft, rd: Work): boolean {
  return (
    rd.entries.length > 0 ||
    !isEmptyHardState(rd.hardState) ||
    !isEmptySnapshot(rd.snapshot) ||
    r.messagesAfterAppend.length > 0
  );
}

function storageAppend(r: Raft, rd: Work): Message {
  const m = newMessage("MsgStorageAppend", LOCAL_APPEND_THREAD);
  m.from = r.id;
  m.entries = rd.entries;
  if (rd.hardState !== undefined && !isEmptyHardState(rd.hardState)) {
    m.term = rd.hardState.term;
    m.vote = rd.hardState.vote;
    m.commit = rd.hardState.commit;
  }
  if (!isEmptySnapshot(rd.snapshot)) m.snapshot = rd.snapshot;
  // The acknowledgements to itself come first: they find the entries' terms in memory while these are still unstable.
  const resp = storageAppendResponse(r, rd.snapshot);
  m.responses = resp === undefined ? r.messagesAfterAppend : [...r.messagesAfterAppend, resp];
  return m;
}

/**
 * What tells this node that its unstable entries and snapshot are stored, if it has any.
 *
 * It names the end of the whole unstable log, not only of the entries written now, and carries the term. A response of
 * an earlier term is ignored, because entries replaced and put back meanwhile would look stored while an older write is
 * yet to undo them; then the response to the write that the term change itself causes makes up for it.
 */
export function storageAppendResponse(r: Raft, snapshot: Snapshot | undefined): Message | undefined {
  const hasEntries = r.log.unstable.length > 0;
  if (!hasEntries && isEmptySnapshot(snapshot)) return undefined;
  const m = newMessage("MsgStorageAppendResp", r.id);
  m.from = LOCAL_APPEND_THREAD;
  m.term = r.term;
  if (hasEntries) {
    const last = r.log.lastId();
    m.index = last.index;
    m.logTerm = last.term;
  }
  if (!isEmptySnapshot(snapshot)) m.snapshot = snapshot;
  return m;
}

/** What tells this node that entries were applied. Without a term, as committed entries belong to none. */
export function storageApplyResponse(r: Raft, entries: readonly Entry[]): Message {
  const m = newMessage("MsgStorageApplyResp", r.id);
  m.from = LOCAL_APPLY_THREAD;
  m.entries = entries;
  return m;
}
