import { hexId, type MemberId } from "@keelson/types";
import { decodeConfChange, decodeConfChangeV2 } from "./codec/conf-change.ts";
import { type AnyConfChange, asV2 } from "./conf-change.ts";
import { describeConfChange } from "./describe.ts";
import { broken } from "./errors.ts";
import type { Raft } from "./raft.ts";
import { PENDING_READS_MAX } from "./read-only.ts";
import { broadcastAppend, broadcastHeartbeat, maybeCommit, maybeSendAppend, sendAppend } from "./replication.ts";
import type { StepResult } from "./step.ts";
import type { Progress } from "./tracker/progress.ts";
import { describeConfig } from "./tracker/tracker.ts";
import { type Entry, type Message, type MessageType, NO_BYTES, NONE, newMessage } from "./types.ts";

/** Messages that concern no member in particular. */
const GENERAL: Partial<Record<MessageType, (r: Raft, m: Message) => StepResult>> = {
  MsgProp: (r, m) => proposeEntries(r, m.entries),
  MsgBeat: done(broadcastHeartbeat),
  MsgCheckQuorum: done(checkQuorum),
  MsgReadIndex: done(readIndex),
  // It leads; there is nothing to forget.
  MsgForgetLeader: () => "ok",
};

/** Messages from or about one member. */
const ABOUT_MEMBER: Partial<Record<MessageType, (r: Raft, m: Message, pr: Progress) => void>> = {
  MsgAppResp: (r, m, pr) => (m.reject ? appendRejected(r, m, pr) : appendAccepted(r, m, pr)),
  MsgHeartbeatResp: heartbeatAnswered,
  MsgSnapStatus: snapshotReported,
  MsgUnreachable: unreachable,
  MsgTransferLeader: (r, m, pr) => transferLeader(r, m.from, pr),
};

/** What a leader does with a message of its term. */
export function stepLeader(r: Raft, m: Message): StepResult {
  const general = GENERAL[m.type];
  if (general !== undefined) return general(r, m);
  const pr = r.tracker.get(m.from);
  if (pr === undefined) r.logger.debug(`${r.name} no progress available for ${hexId(m.from)}`);
  else ABOUT_MEMBER[m.type]?.(r, m, pr);
  return "ok";
}

function done(handle: (r: Raft, m: Message) => void): (r: Raft, m: Message) => StepResult {
  return (r, m) => {
    handle(r, m);
    return "ok";
  };
}

function unreachable(r: Raft, m: Message, pr: Progress): void {
  // What was sent ahead is probably lost.
  if (pr.state === "StateReplicate") pr.becomeProbe();
  r.logger.debug(`${r.name} failed to send message to ${hexId(m.from)} because it is unreachable [${pr.toString()}]`);
}

function checkQuorum(r: Raft): void {
  if (!r.tracker.quorumActive()) {
    r.logger.warn(`${r.name} stepped down to follower since quorum is not active`);
    r.becomeFollower(r.term, NONE);
  }
  r.tracker.visit((id, pr) => {
    if (id !== r.id) pr.recentActive = false;
  });
}

/** Appends proposals and sends them out. */
export function proposeEntries(r: Raft, proposals: readonly Entry[]): StepResult {
  if (proposals.length === 0) broken(`${r.name} stepped empty MsgProp`);
  // A leader that was removed leads on without a vote, but takes nothing new.
  if (r.tracker.get(r.id) === undefined) return "proposal-dropped";
  if (r.leadTransferee !== NONE) {
    r.logger.debug(
      `${r.name} [term ${r.term}] transfer leadership to ${hexId(r.leadTransferee)} is in progress; dropping proposal`,
    );
    return "proposal-dropped";
  }
  const entries = proposals.some((e) => e.type !== "EntryNormal") ? admitConfChanges(r, proposals) : proposals;
  if (!r.appendEntries(entries)) return "proposal-dropped";
  broadcastAppend(r);
  return "ok";
}

/** Replaces membership changes that must not enter the log now by empty entries. @throws RaftDecodeError */
function admitConfChanges(r: Raft, proposals: readonly Entry[]): readonly Entry[] {
  // All are decoded before anything is changed.
  const changes = proposals.map(decodeChange);
  return proposals.map((e, i) => {
    const cc = changes[i];
    if (cc === undefined) return e;
    const why = refusal(r, cc);
    if (why !== undefined && !r.config.disableConfChangeValidation) {
      r.logger.info(
        `${r.name} ignoring conf change ${describeConfChange(cc)} at config ${describeConfig(r.tracker.config)}: ${why}`,
      );
      return { term: 0, index: 0, type: "EntryNormal", data: NO_BYTES };
    }
    r.pendingConfIndex = r.log.lastIndex() + i + 1;
    return e;
  });
}

function decodeChange(e: Entry): AnyConfChange | undefined {
  switch (e.type) {
    case "EntryNormal":
      return undefined;
    case "EntryConfChange":
      return decodeConfChange(e.data);
    case "EntryConfChangeV2":
      return decodeConfChangeV2(e.data);
  }
}

function refusal(r: Raft, cc: AnyConfChange): string | undefined {
  if (r.pendingConfIndex > r.log.applied) {
    return `possible unapplied conf change at index ${r.pendingConfIndex} (applied to ${r.log.applied})`;
  }
  const wantsLeave = asV2(cc).changes.length === 0;
  if (r.tracker.isJoint && !wantsLeave) return "must transition out of joint config first";
  if (!r.tracker.isJoint && wantsLeave) return "not in joint state; refusing empty conf change";
  return undefined;
}

function readIndex(r: Raft, m: Message): void {
  if (r.committedInCurrentTerm) {
    confirmRead(r, m);
    return;
  }
  // Until then a leader may not know the newest commit index (paper 8). Upstream lets the only voter of a cluster answer
  // at once; but after a power cut it may have lost a commit index that clients have seen, and must wait as well.
  if (r.pendingReads.length < PENDING_READS_MAX) r.pendingReads.push(m);
  else r.logger.warn(`${r.name} dropping index reading msg: ${PENDING_READS_MAX} are waiting`);
}

function confirmRead(r: Raft, m: Message): void {
  if (r.tracker.isSingleton || r.readOnly.option === "lease-based") {
    answerRead(r, m, r.log.committed);
    return;
  }
  if (!r.readOnly.add(r.log.committed, m)) {
    r.logger.warn(`${r.name} dropping index reading msg: ${PENDING_READS_MAX} are waiting`);
    return;
  }
  r.readOnly.receiveAck(r.id, r.readOnly.heartbeatContext());
  broadcastHeartbeat(r);
}

function answerRead(r: Raft, request: Message, index: number): void {
  if (request.from === NONE || request.from === r.id) {
    r.readStates.push({ index, context: request.entries[0]?.data ?? NO_BYTES });
    return;
  }
  const resp = newMessage("MsgReadIndexResp", request.from);
  resp.index = index;
  resp.entries = request.entries;
  r.send(resp);
}

function releasePendingReads(r: Raft): void {
  if (r.pendingReads.length === 0) return;
  if (!r.committedInCurrentTerm) {
    r.logger.error("pending MsgReadIndex should be released only after first commit in current term");
    return;
  }
  const pending = r.pendingReads;
  r.pendingReads = [];
  for (const m of pending) confirmRead(r, m);
}

function appendRejected(r: Raft, m: Message, pr: Progress): void {
  pr.recentActive = true;
  const peer = hexId(m.from);
  r.logger.debug(
    `${r.name} received MsgAppResp(rejected, hint: (index ${m.rejectHint}, term ${m.logTerm})) from ${peer} for index ${m.index}`,
  );
  // The follower has `logTerm` at the hint and lower terms before it. Positions where this log's term is higher cannot
  // match, so skip them (see also the follower's side, handleAppend). Old versions send no term.
  const probe = m.logTerm > 0 ? r.log.findConflictByTerm(m.rejectHint, m.logTerm).index : m.rejectHint;
  if (!pr.maybeDecreaseTo(m.index, probe)) return;
  r.logger.debug(`${r.name} decreased progress of ${peer} to [${pr.toString()}]`);
  if (pr.state === "StateReplicate") pr.becomeProbe();
  maybeSendAppend(r, m.from, pr, true);
}

function appendAccepted(r: Raft, m: Message, pr: Progress): void {
  pr.recentActive = true;
  // An answer that moves nothing can still show that a probed follower is where it was thought to be.
  if (!pr.maybeUpdate(m.index) && !(pr.match === m.index && pr.state === "StateProbe")) return;
  if (pr.state === "StateProbe") {
    pr.becomeReplicate();
  } else if (pr.state === "StateReplicate") {
    pr.inflights.freeUpTo(m.index);
  } else if (pr.match + 1 >= r.log.firstIndex()) {
    // Wherever the snapshot came from, and whatever its index: the log goes on from there.
    r.logger.debug(
      `${r.name} recovered from needing snapshot, resumed sending replication messages to ${hexId(m.from)} [${pr.toString()}]`,
    );
    pr.becomeProbe();
    pr.becomeReplicate();
  }

  if (maybeCommit(r)) {
    releasePendingReads(r);
    broadcastAppend(r);
  } else if (m.from !== r.id && pr.canBumpCommit(r.log.committed)) {
    // The next heartbeat would tell it too, but later.
    maybeSendAppend(r, m.from, pr, true);
  }
  if (m.from !== r.id) {
    // Room in the window may let several messages out.
    while (maybeSendAppend(r, m.from, pr, false));
  }
  if (m.from === r.leadTransferee && pr.match === r.log.lastIndex()) {
    r.logger.info(`${r.name} sent MsgTimeoutNow to ${hexId(m.from)} after received MsgAppResp`);
    sendTimeoutNow(r, m.from);
  }
}

function heartbeatAnswered(r: Raft, m: Message, pr: Progress): void {
  pr.recentActive = true;
  pr.appendsPaused = false;
  // With a full window this is an empty append, which gets it moving if everything in flight was lost. A probed
  // follower that has everything needs one too, to show it.
  if (pr.match < r.log.lastIndex() || pr.state === "StateProbe") maybeSendAppend(r, m.from, pr, true);
  if (r.readOnly.option !== "safe" || m.context.length === 0) return;
  r.readOnly.receiveAck(m.from, m.context);
  for (const read of r.readOnly.advance(r.tracker.config.voters)) answerRead(r, read.request, read.index);
}

function snapshotReported(r: Raft, m: Message, pr: Progress): void {
  if (pr.state !== "StateSnapshot") return;
  // A failed one must not be the base to probe from.
  if (m.reject) pr.pendingSnapshot = 0;
  pr.becomeProbe();
  r.logger.debug(
    `${r.name} snapshot ${m.reject ? "failed" : "succeeded"}, resumed sending replication messages to ${hexId(m.from)} [${pr.toString()}]`,
  );
  // Received: wait for its answer. Failed: wait for a heartbeat before trying again.
  pr.appendsPaused = true;
}

function transferLeader(r: Raft, to: MemberId, pr: Progress): void {
  const head = `${r.name} [term ${r.term}]`;
  const peer = hexId(to);
  if (pr.isLearner) {
    r.logger.debug(`${r.name} is learner. Ignored transferring leadership`);
    return;
  }
  if (r.leadTransferee !== NONE) {
    if (r.leadTransferee === to) {
      r.logger.info(`${head} transfer leadership to ${peer} is in progress, ignores request to same node ${peer}`);
      return;
    }
    const previous = hexId(r.leadTransferee);
    r.abortLeaderTransfer();
    r.logger.info(`${head} abort previous transferring leadership to ${previous}`);
  }
  if (to === r.id) {
    r.logger.debug(`${r.name} is already leader. Ignored transferring leadership to self`);
    return;
  }
  r.logger.info(`${head} starts to transfer leadership to ${peer}`);
  // It has one election timeout from now.
  r.electionElapsed = 0;
  r.leadTransferee = to;
  if (pr.match === r.log.lastIndex()) {
    sendTimeoutNow(r, to);
    r.logger.info(`${r.name} sends MsgTimeoutNow to ${peer} immediately as ${peer} already has up-to-date log`);
  } else {
    sendAppend(r, to);
  }
}

function sendTimeoutNow(r: Raft, to: MemberId): void {
  r.send(newMessage("MsgTimeoutNow", to));
}
