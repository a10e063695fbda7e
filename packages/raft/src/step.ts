import { hexId } from "@keelson/types";
import { answerVoteRequest, hup, refusesUnderLease, rejectVote } from "./election.ts";
import type { Raft } from "./raft.ts";
import { entriesBytes, payloadBytes } from "./size.ts";
import { stepCandidate } from "./step-candidate.ts";
import { stepFollower } from "./step-follower.ts";
import { proposeEntries, stepLeader } from "./step-leader.ts";
import { describeConfig } from "./tracker/tracker.ts";
import { type Entry, type Message, type MessageType, NO_BYTES, NONE, newMessage, type Snapshot } from "./types.ts";

/** What became of a message. Proposals can be dropped by any node; the proposer tries again or gives up. */
export type StepResult = "ok" | "proposal-dropped";

/** Feeds one message to the node: from a peer, from its own storage, or from the application. */
export function step(r: Raft, m: Message): StepResult {
  if (m.term !== 0) {
    if (m.term > r.term) {
      if (!acceptHigherTerm(r, m)) return "ok";
    } else if (m.term < r.term) {
      answerLowerTerm(r, m);
      return "ok";
    }
  }
  const handle = IN_ANY_ROLE[m.type];
  if (handle === undefined) return stepByRole(r, m);
  handle(r, m);
  return "ok";
}

const IN_ANY_ROLE: Partial<Record<MessageType, (r: Raft, m: Message) => void>> = {
  MsgHup: (r) => hup(r, r.config.preVote ? "pre-election" : "election"),
  MsgVote: (r, m) => answerVoteRequest(r, m, "MsgVote"),
  MsgPreVote: (r, m) => answerVoteRequest(r, m, "MsgPreVote"),
  MsgStorageAppendResp: (r, m) => {
    if (m.index !== 0) r.log.unstable.stableTo(m.index, m.logTerm);
    if (m.snapshot !== undefined) appliedSnapshot(r, m.snapshot);
  },
  MsgStorageApplyResp: (r, m) => {
    const last = m.entries.at(-1);
    if (last === undefined) return;
    appliedTo(r, last.index, entriesBytes(m.entries));
    r.reduceUncommitted(payloadBytes(m.entries));
  },
};

function stepByRole(r: Raft, m: Message): StepResult {
  switch (r.state) {
    case "StateLeader":
      return stepLeader(r, m);
    case "StateFollower":
      return stepFollower(r, m);
    case "StateCandidate":
    case "StatePreCandidate":
      return stepCandidate(r, m);
  }
}

/** A message of a later term usually ends this node's role. False when the message is to be ignored. */
function acceptHigherTerm(r: Raft, m: Message): boolean {
  if ((m.type === "MsgVote" || m.type === "MsgPreVote") && refusesUnderLease(r, m)) return false;
  // A pre-vote only asks; and a granted one speaks of the term that this node asked about. A refused one tells of a
  // later term that exists.
  if (m.type === "MsgPreVote" || (m.type === "MsgPreVoteResp" && !m.reject)) return true;
  r.logger.info(
    `${r.name} [term: ${r.term}] received a ${m.type} message with higher term from ${hexId(m.from)} [term: ${m.term}]`,
  );
  const fromLeader = m.type === "MsgApp" || m.type === "MsgHeartbeat" || m.type === "MsgSnap";
  r.becomeFollower(m.term, fromLeader ? m.from : NONE);
  return true;
}

/** Mostly stale, but some senders must learn of the later term, or they stay stuck. */
function answerLowerTerm(r: Raft, m: Message): void {
  if ((r.config.checkQuorum || r.config.preVote) && (m.type === "MsgHeartbeat" || m.type === "MsgApp")) {
    // This node may have raised its term while it was cut off. With these options its vote requests are ignored, so
    // only an answer of a later term makes the leader step down and lets this node take part again.
    r.send(newMessage("MsgAppResp", m.from));
  } else if (m.type === "MsgPreVote") {
    rejectVote(r, m, m.type);
  } else if (m.type === "MsgStorageAppendResp") {
    if (m.index !== 0) {
      // Writes that were under way when the term changed may have been overtaken by others. What is stable will be told
      // by the response to a later write.
      r.logger.info(
        `${r.name} [term: ${r.term}] ignored entry appends from a ${m.type} message with lower term [term: ${m.term}]`,
      );
    }
    // A snapshot is committed state, whatever the term.
    if (m.snapshot !== undefined) appliedSnapshot(r, m.snapshot);
  } else {
    r.logger.info(
      `${r.name} [term: ${r.term}] ignored a ${m.type} message with lower term from ${hexId(m.from)} [term: ${m.term}]`,
    );
  }
}

function appliedSnapshot(r: Raft, snap: Snapshot): void {
  r.log.unstable.stableSnapTo(snap.metadata.index);
  appliedTo(r, snap.metadata.index, 0);
}

function appliedTo(r: Raft, index: number, bytes: number): void {
  const applied = Math.max(index, r.log.applied);
  r.log.appliedTo(applied, bytes);
  const { config } = r.tracker;
  if (!config.autoLeave || applied < r.pendingConfIndex || r.state !== "StateLeader") return;
  // The change that led to the joint configuration is applied: leave it. Empty data is an empty change, and is never
  // refused for its size. It can be refused during a transfer; the next entry to be applied brings us here again.
  const leave: Entry = { term: 0, index: 0, type: "EntryConfChangeV2", data: NO_BYTES };
  const text = describeConfig(config);
  if (proposeEntries(r, [leave]) === "ok") {
    r.logger.info(`initiating automatic transition out of joint configuration ${text}`);
  } else {
    r.logger.debug(`not initiating automatic transition out of joint configuration ${text}: raft proposal dropped`);
  }
}

/** One unit of time passes. */
export function tick(r: Raft): void {
  if (r.state === "StateLeader") tickLeader(r);
  else tickElection(r);
}

function tickElection(r: Raft): void {
  r.electionElapsed++;
  if (r.promotable && r.pastElectionTimeout) {
    r.electionElapsed = 0;
    step(r, fromSelf(r, "MsgHup"));
  }
}

function tickLeader(r: Raft): void {
  r.heartbeatElapsed++;
  r.electionElapsed++;
  if (r.electionElapsed >= r.config.electionTick) {
    r.electionElapsed = 0;
    if (r.config.checkQuorum) step(r, fromSelf(r, "MsgCheckQuorum"));
    // A transfer that takes longer than an election has failed; take proposals again.
    if (r.state === "StateLeader") r.abortLeaderTransfer();
  }
  if (r.state !== "StateLeader") return;
  if (r.heartbeatElapsed >= r.config.heartbeatTick) {
    r.heartbeatElapsed = 0;
    step(r, fromSelf(r, "MsgBeat"));
  }
}

function fromSelf(r: Raft, type: "MsgHup" | "MsgCheckQuorum" | "MsgBeat"): Message {
  const m = newMessage(type, NONE);
  m.from = r.id;
  return m;
}
