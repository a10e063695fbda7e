import type { MemberId } from "@keelson/types";
import {
  type AckedIndexer,
  describeVoters,
  majorityCommitted,
  majorityVote,
  type VoteResult,
  type VoterSet,
} from "./majority.ts";

/** Incoming and outgoing voters; decisions need a majority of each (Raft thesis 4.3). The outgoing set is empty when not joint. */
export type JointVoters = readonly [incoming: VoterSet, outgoing: VoterSet];

/** Every voter of either half. */
export function jointIds(voters: JointVoters): Set<MemberId> {
  return new Set([...voters[0], ...voters[1]]);
}

/** The largest index committed in both halves. */
export function jointCommitted(voters: JointVoters, acked: AckedIndexer): number {
  return Math.min(majorityCommitted(voters[0], acked), majorityCommitted(voters[1], acked));
}

/** Lost if lost in either half, won if won in both. */
export function jointVote(voters: JointVoters, votes: ReadonlyMap<MemberId, boolean>): VoteResult {
  const a = majorityVote(voters[0], votes);
  const b = majorityVote(voters[1], votes);
  if (a === b) return a;
  return a === "VoteLost" || b === "VoteLost" ? "VoteLost" : "VotePending";
}

/** `(1 2 3)` or, when joint, `(1 2 3)&&(1 2 4)`. */
export function describeJoint(voters: JointVoters): string {
  const incoming = describeVoters(voters[0]);
  return voters[1].size > 0 ? `${incoming}&&${describeVoters(voters[1])}` : incoming;
}
