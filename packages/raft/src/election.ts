import { hexId, type MemberId } from "@keelson/types";
import type { VoteResult } from "./quorum/majority.ts";
import type { Raft } from "./raft.ts";
import { type Message, type MessageType, NONE, newMessage } from "./types.ts";

/** Why a node campaigns. The text of `transfer` travels in the vote request: it overrides a live leader's lease. */
export type Campaign = "pre-election" | "election" | "transfer";

const TRANSFER_CONTEXT = Uint8Array.from("CampaignTransfer", (c) => c.charCodeAt(0));

/** The answer that belongs to a (pre-)vote request. */
export function voteResponseType(type: "MsgVote" | "MsgPreVote"): "MsgVoteResp" | "MsgPreVoteResp" {
  return type === "MsgVote" ? "MsgVoteResp" : "MsgPreVoteResp";
}

/** Campaigns, unless this node leads already or must not lead. */
export function hup(r: Raft, kind: Campaign): void {
  if (r.state === "StateLeader") {
    r.logger.debug(`${r.name} ignoring MsgHup because already leader`);
    return;
  }
  if (!r.promotable) {
    r.logger.warn(`${r.name} is unpromotable and can not campaign`);
    return;
  }
  if (hasUnappliedConfChanges(r)) {
    r.logger.warn(
      `${r.name} cannot campaign at term ${r.term} since there are still pending configuration changes to apply`,
    );
    return;
  }
  r.logger.info(`${r.name} is starting a new election at term ${r.term}`);
  campaign(r, kind);
}

/** A node that has not applied a committed membership change would count votes by the wrong quorum. */
function hasUnappliedConfChanges(r: Raft): boolean {
  const { applied, committed, maxApplyingBytes } = r.log;
  if (applied >= committed) return false;
  return r.log.some(applied + 1, committed + 1, maxApplyingBytes, (e) => e.type !== "EntryNormal");
}

/** Becomes a candidate and asks every voter, itself included, for a vote. */
export function campaign(r: Raft, kind: Campaign): void {
  const pre = kind === "pre-election";
  if (pre) r.becomePreCandidate();
  else r.becomeCandidate();
  const type = pre ? "MsgPreVote" : "MsgVote";
  // A pre-vote asks about the term that would follow.
  const term = pre ? r.term + 1 : r.term;
  for (const id of r.tracker.voterIds()) {
    if (id === r.id) {
      // Its own vote counts once it is on disk.
      const own = newMessage(voteResponseType(type), id);
      own.term = term;
      r.send(own);
      continue;
    }
    const last = r.log.lastId();
    r.logger.info(
      `${r.name} [logterm: ${last.term}, index: ${last.index}] sent ${type} request to ${hexId(id)} at term ${r.term}`,
    );
    const m = newMessage(type, id);
    m.term = term;
    m.index = last.index;
    m.logTerm = last.term;
    if (kind === "transfer") m.context = TRANSFER_CONTEXT;
    r.send(m);
  }
}

/** Counts a vote and tells how the election stands. */
export function poll(
  r: Raft,
  id: MemberId,
  type: MessageType,
  granted: boolean,
): { granted: number; rejected: number; result: VoteResult } {
  r.logger.info(`${r.name} received ${type}${granted ? "" : " rejection"} from ${hexId(id)} at term ${r.term}`);
  r.tracker.recordVote(id, granted);
  return r.tracker.tallyVotes();
}

/**
 * Whether a vote request of a later term is to be ignored: heard from a leader within the election timeout, so that a
 * member that was cut off or removed cannot disturb (thesis 4.2.3). A transfer of leadership is wanted, and passes.
 */
export function refusesUnderLease(r: Raft, m: Message): boolean {
  const inLease = r.config.checkQuorum && r.lead !== NONE && r.electionElapsed < r.config.electionTick;
  if (!inLease || isTransfer(m.context)) return false;
  r.logger.info(
    `${voteLine(r)} ignored ${m.type} from ${candidateLine(r, m)}: lease is not expired (remaining ticks: ${r.config.electionTick - r.electionElapsed})`,
  );
  return true;
}

function isTransfer(context: Uint8Array): boolean {
  return context.length === TRANSFER_CONTEXT.length && context.every((b, i) => b === TRANSFER_CONTEXT[i]);
}

/** Answers a request for a vote or pre-vote of this term or, for a pre-vote, of a later one. */
export function answerVoteRequest(r: Raft, m: Message, type: "MsgVote" | "MsgPreVote"): void {
  const mayVote =
    r.vote === m.from || (r.vote === NONE && r.lead === NONE) || (type === "MsgPreVote" && m.term > r.term);
  // Learners vote too: one that was promoted may not know it yet, and its vote may be needed to tell it.
  if (!mayVote || !r.log.isUpToDate(m.logTerm, m.index)) {
    rejectVote(r, m, type);
    return;
  }
  r.logger.info(`${voteLine(r)} cast ${type} for ${candidateLine(r, m)}`);
  const resp = newMessage(voteResponseType(type), m.from);
  // The term asked about, which for a pre-vote is not this node's; under its own the answer would be taken as stale.
  resp.term = m.term;
  r.send(resp);
  if (type === "MsgVote") {
    r.electionElapsed = 0;
    r.vote = m.from;
  }
}

/** Refuses a (pre-)vote, telling this node's term. */
export function rejectVote(r: Raft, m: Message, type: "MsgVote" | "MsgPreVote"): void {
  r.logger.info(`${voteLine(r)} rejected ${type} from ${candidateLine(r, m)}`);
  const resp = newMessage(voteResponseType(type), m.from);
  resp.term = r.term;
  resp.reject = true;
  r.send(resp);
}

function voteLine(r: Raft): string {
  const last = r.log.lastId();
  return `${r.name} [logterm: ${last.term}, index: ${last.index}, vote: ${hexId(r.vote)}]`;
}

function candidateLine(r: Raft, m: Message): string {
  return `${hexId(m.from)} [logterm: ${m.logTerm}, index: ${m.index}] at term ${r.term}`;
}
