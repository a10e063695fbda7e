import { hexId, type MemberId } from "@keelson/types";
import { describeConfStateProto } from "./describe.ts";
import { hup } from "./election.ts";
import { restoreMembership } from "./membership.ts";
import type { Raft } from "./raft.ts";
import type { StepResult } from "./step.ts";
import {
  type ConfState,
  EMPTY_SNAPSHOT,
  type Message,
  type MessageType,
  NONE,
  newMessage,
  type Snapshot,
} from "./types.ts";

const HANDLERS: Partial<Record<MessageType, (r: Raft, m: Message) => void>> = {
  MsgApp: fromLeader(handleAppend),
  MsgHeartbeat: fromLeader(handleHeartbeat),
  MsgSnap: fromLeader(handleSnapshot),
  MsgTransferLeader: (r, m) => forwardOrDrop(r, m, "leader transfer"),
  MsgReadIndex: (r, m) => forwardOrDrop(r, m, "index reading"),
  MsgReadIndexResp: receiveReadIndex,
  MsgForgetLeader: forgetLeader,
  MsgTimeoutNow: timeoutNow,
};

/** What a follower does with a message of its term. */
export function stepFollower(r: Raft, m: Message): StepResult {
  if (m.type === "MsgProp") return forwardProposal(r, m);
  HANDLERS[m.type]?.(r, m);
  return "ok";
}

function fromLeader(handle: (r: Raft, m: Message) => void): (r: Raft, m: Message) => void {
  return (r, m) => {
    heardFromLeader(r, m.from);
    handle(r, m);
  };
}

function forwardOrDrop(r: Raft, m: Message, what: string): void {
  if (r.lead === NONE) r.logger.info(`${r.name} no leader at term ${r.term}; dropping ${what} msg`);
  else r.forward(m);
}

function timeoutNow(r: Raft, m: Message): void {
  r.logger.info(
    `${r.name} [term ${r.term}] received MsgTimeoutNow from ${hexId(m.from)} and starts an election to get leadership.`,
  );
  // Never by a pre-vote: the leader asked for it, so this node is not one that was cut off.
  hup(r, "transfer");
}

function heardFromLeader(r: Raft, leader: MemberId): void {
  r.electionElapsed = 0;
  r.lead = leader;
}

function forwardProposal(r: Raft, m: Message): StepResult {
  if (r.lead === NONE) {
    r.logger.info(`${r.name} no leader at term ${r.term}; dropping proposal`);
    return "proposal-dropped";
  }
  if (r.config.disableProposalForwarding) {
    r.logger.info(`${r.name} not forwarding to leader ${hexId(r.lead)} at term ${r.term}; dropping proposal`);
    return "proposal-dropped";
  }
  r.forward(m);
  return "ok";
}

function forgetLeader(r: Raft): void {
  if (r.config.readOnlyOption === "lease-based") {
    // The leader's reads rest on nobody campaigning while its lease lasts.
    r.logger.error("ignoring MsgForgetLeader due to ReadOnlyLeaseBased");
    return;
  }
  if (r.lead === NONE) return;
  r.logger.info(`${r.name} forgetting leader ${hexId(r.lead)} at term ${r.term}`);
  r.lead = NONE;
}

function receiveReadIndex(r: Raft, m: Message): void {
  const [request] = m.entries;
  if (m.entries.length !== 1 || request === undefined) {
    r.logger.error(
      `${r.name} invalid format of MsgReadIndexResp from ${hexId(m.from)}, entries count: ${m.entries.length}`,
    );
    return;
  }
  r.readStates.push({ index: m.index, context: request.data });
}

/** Appends what the leader sent, or says where the logs may agree (paper 5.3). */
export function handleAppend(r: Raft, m: Message): void {
  const resp = newMessage("MsgAppResp", m.from);
  if (m.index < r.log.committed) {
    // Old news: all of it is known already.
    resp.index = r.log.committed;
    r.send(resp);
    return;
  }
  const last = r.log.maybeAppend(m.index, m.logTerm, m.entries, m.commit);
  if (last !== undefined) {
    resp.index = last;
    r.send(resp);
    return;
  }
  r.logger.debug(
    `${r.name} [logterm: ${r.log.termOrZero(m.index)}, index: ${m.index}] rejected MsgApp [logterm: ${m.logTerm}, index: ${m.index}] from ${hexId(m.from)}`,
  );
  // The largest position whose term is not above the leader's at its anchor. Everything in between cannot match, so a
  // long divergent tail costs one round trip per term instead of one per entry.
  const hint = r.log.findConflictByTerm(Math.min(m.index, r.log.lastIndex()), m.logTerm);
  resp.index = m.index;
  resp.reject = true;
  resp.rejectHint = hint.index;
  resp.logTerm = hint.term;
  r.send(resp);
}

/** Takes the commit index from the leader and answers with the context, which confirms reads. */
export function handleHeartbeat(r: Raft, m: Message): void {
  r.log.commitTo(m.commit);
  const resp = newMessage("MsgHeartbeatResp", m.from);
  resp.context = m.context;
  r.send(resp);
}

/** Starts over from a snapshot if it is ahead, and says where this log stands then. */
export function handleSnapshot(r: Raft, m: Message): void {
  const snap = m.snapshot ?? EMPTY_SNAPSHOT;
  const { index, term } = snap.metadata;
  const restored = restoreSnapshot(r, snap);
  r.logger.info(
    `${r.name} [commit: ${r.log.committed}] ${restored ? "restored" : "ignored"} snapshot [index: ${index}, term: ${term}]`,
  );
  const resp = newMessage("MsgAppResp", m.from);
  resp.index = restored ? r.log.lastIndex() : r.log.committed;
  r.send(resp);
}

/** Starts over from a snapshot. False when it brings nothing new or does not concern this node. */
function restoreSnapshot(r: Raft, snap: Snapshot): boolean {
  const { index, term, confState } = snap.metadata;
  if (index <= r.log.committed) return false;
  if (r.state !== "StateFollower") {
    r.logger.warn(`${r.name} attempted to restore snapshot as leader; should never happen`);
    r.becomeFollower(r.term + 1, NONE);
    return false;
  }
  if (!isMember(confState, r.id)) {
    r.logger.warn(
      `${r.name} attempted to restore snapshot but it is not in the ConfState ${describeConfStateProto(confState)}; should never happen`,
    );
    return false;
  }
  if (r.log.matches(index, term)) {
    const last = r.log.lastId();
    r.logger.info(
      `${r.name} [commit: ${r.log.committed}, lastindex: ${last.index}, lastterm: ${last.term}] fast-forwarded commit to snapshot [index: ${index}, term: ${term}]`,
    );
    r.log.commitTo(index);
    return false;
  }
  restoreMembership(r, confState, index, () => r.log.restore(snap));
  r.membershipIndex = index;
  const last = r.log.lastId();
  r.logger.info(
    `${r.name} [commit: ${r.log.committed}, lastindex: ${last.index}, lastterm: ${last.term}] restored snapshot [index: ${index}, term: ${term}]`,
  );
  return true;
}

function isMember(cs: ConfState, id: MemberId): boolean {
  // `learnersNext` are voters of the outgoing half.
  return cs.voters.includes(id) || cs.learners.includes(id) || cs.votersOutgoing.includes(id);
}
