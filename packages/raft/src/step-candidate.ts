import { hexId } from "@keelson/types";
import { campaign, poll } from "./election.ts";
import type { Raft } from "./raft.ts";
import { broadcastAppend } from "./replication.ts";
import type { StepResult } from "./step.ts";
import { handleAppend, handleHeartbeat, handleSnapshot } from "./step-follower.ts";
import { type Message, type MessageType, NONE } from "./types.ts";

const HANDLERS: Partial<Record<MessageType, (r: Raft, m: Message) => void>> = {
  MsgApp: underLeader(handleAppend),
  MsgHeartbeat: underLeader(handleHeartbeat),
  MsgSnap: underLeader(handleSnapshot),
  // A candidate may still get answers to its pre-votes, and must not count them.
  MsgVoteResp: (r, m) => {
    if (r.state === "StateCandidate") countVote(r, m);
  },
  MsgPreVoteResp: (r, m) => {
    if (r.state === "StatePreCandidate") countVote(r, m);
  },
  MsgTimeoutNow: (r, m) =>
    r.logger.debug(`${r.name} [term ${r.term} state ${r.state}] ignored MsgTimeoutNow from ${hexId(m.from)}`),
};

/** What a candidate or pre-candidate does with a message of its term. */
export function stepCandidate(r: Raft, m: Message): StepResult {
  if (m.type === "MsgProp") {
    r.logger.info(`${r.name} no leader at term ${r.term}; dropping proposal`);
    return "proposal-dropped";
  }
  HANDLERS[m.type]?.(r, m);
  return "ok";
}

/** Someone else has won this term. */
function underLeader(handle: (r: Raft, m: Message) => void): (r: Raft, m: Message) => void {
  return (r, m) => {
    r.becomeFollower(m.term, m.from);
    handle(r, m);
  };
}

function countVote(r: Raft, m: Message): void {
  const { granted, rejected, result } = poll(r, m.from, m.type, !m.reject);
  r.logger.info(`${r.name} has received ${granted} ${m.type} votes and ${rejected} vote rejections`);
  switch (result) {
    case "VoteWon":
      if (r.state === "StatePreCandidate") {
        campaign(r, "election");
      } else {
        r.becomeLeader();
        broadcastAppend(r);
      }
      return;
    case "VoteLost":
      // Not the term of the message: for a pre-vote it lies ahead.
      r.becomeFollower(r.term, NONE);
      return;
    case "VotePending":
  }
}
