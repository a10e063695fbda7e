import { hexId, type MemberId } from "@keelson/types";
import { broken } from "./errors.ts";
import type { Raft } from "./raft.ts";
import { payloadBytes } from "./size.ts";
import type { Progress } from "./tracker/progress.ts";
import { isEmptySnapshot, NO_ENTRIES, newMessage } from "./types.ts";

/** Sends an append to `to` unless it is paused, even an empty one, which still carries the commit index. */
export function sendAppend(r: Raft, to: MemberId): void {
  const pr = r.tracker.get(to);
  if (pr !== undefined) maybeSendAppend(r, to, pr, true);
}

/**
 * Sends the next entries to a follower, or a snapshot when they were compacted away.
 * @param sendIfEmpty whether a message without entries is worth sending
 * @returns whether a message was sent
 */
export function maybeSendAppend(r: Raft, to: MemberId, pr: Progress, sendIfEmpty: boolean): boolean {
  if (pr.paused) return false;
  const prevIndex = pr.next - 1;
  const prevTerm = r.log.term(prevIndex);
  if (typeof prevTerm === "string") return maybeSendSnapshot(r, to, pr);
  // With a full window only empty appends go out. One of them gets through in the end and is answered, which empties
  // the window again even if all that was in flight got lost.
  const throttled = pr.state === "StateReplicate" && pr.inflights.full;
  const entries = throttled ? NO_ENTRIES : r.log.entries(pr.next, r.config.maxSizePerMsg);
  if (entries.length === 0 && !sendIfEmpty) return false;
  if (entries === "compacted") return maybeSendSnapshot(r, to, pr);

  const m = newMessage("MsgApp", to);
  m.index = prevIndex;
  m.logTerm = prevTerm;
  m.entries = entries;
  m.commit = r.log.committed;
  r.send(m);
  pr.sentEntries(entries.length, payloadBytes(entries));
  pr.sentCommit(r.log.committed);
  return true;
}

function maybeSendSnapshot(r: Raft, to: MemberId, pr: Progress): boolean {
  const peer = hexId(to);
  if (!pr.recentActive) {
    r.logger.debug(`ignore sending snapshot to ${peer} since it is not recently active`);
    return false;
  }
  const snapshot = r.log.snapshot();
  if (snapshot === "temporarily-unavailable") {
    r.logger.debug(`${r.name} failed to send snapshot to ${peer} because snapshot is temporarily unavailable`);
    return false;
  }
  if (isEmptySnapshot(snapshot)) broken("need non-empty snapshot");
  const { index, term } = snapshot.metadata;
  r.logger.debug(
    `${r.name} [firstindex: ${r.log.firstIndex()}, commit: ${r.log.committed}] sent snapshot[index: ${index}, term: ${term}] to ${peer} [${pr.toString()}]`,
  );
  pr.becomeSnapshot(index);
  r.logger.debug(`${r.name} paused sending replication messages to ${peer} [${pr.toString()}]`);
  const m = newMessage("MsgSnap", to);
  m.snapshot = snapshot;
  r.send(m);
  return true;
}

/** Appends to every other member. */
export function broadcastAppend(r: Raft): void {
  r.tracker.visit((id, pr) => {
    if (id !== r.id) maybeSendAppend(r, id, pr, true);
  });
}

/** Heartbeats to every other member; they also carry proof of leadership for the reads that wait. */
export function broadcastHeartbeat(r: Raft): void {
  const context = r.readOnly.heartbeatContext();
  r.tracker.visit((id, pr) => {
    if (id === r.id) return;
    const m = newMessage("MsgHeartbeat", id);
    // Not beyond what the follower has: it may hold other entries there.
    m.commit = Math.min(pr.match, r.log.committed);
    m.context = context;
    r.send(m);
    pr.sentCommit(m.commit);
  });
}

/** Commits what a quorum holds, if it is of this term. True when the commit index moved. */
export function maybeCommit(r: Raft): boolean {
  return r.log.maybeCommit(r.tracker.committed(), r.term);
}
