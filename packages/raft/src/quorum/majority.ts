import { hexId, type MemberId } from "@keelson/types";

/** A set of voters that decides by majority. */
export type VoterSet = ReadonlySet<MemberId>;

/** Looks up the index that a voter has acknowledged; `undefined` when nothing was heard. */
export type AckedIndexer = (voter: MemberId) => number | undefined;

/** Outcome of an election so far. */
export type VoteResult = "VotePending" | "VoteLost" | "VoteWon";

/** The commit index of an empty set: no constraint, so that a half-empty joint quorum behaves like its other half. */
export const UNBOUNDED = Number.POSITIVE_INFINITY;

/**
 * The largest value that a majority has reached, given one value per voter in `values[0..n)`.
 * Reorders `values`. Voter sets are small, so an insertion sort on a reused array beats every allocation.
 */
export function majorityOf(values: number[], n: number): number {
  if (n === 0) return UNBOUNDED;
  for (let i = 1; i < n; i++) {
    const v = values[i] as number;
    let j = i - 1;
    for (; j >= 0 && (values[j] as number) > v; j--) values[j + 1] = values[j] as number;
    values[j + 1] = v;
  }
  return values[n - (n >> 1) - 1] as number;
}

/** The largest index that a majority of `voters` has acknowledged. Voters not heard from count as 0. */
export function majorityCommitted(voters: VoterSet, acked: AckedIndexer): number {
  const values: number[] = [];
  for (const id of voters) values.push(acked(id) ?? 0);
  return majorityOf(values, values.length);
}

/** Who wins among `voters`. An empty set has won by convention. */
export function majorityVote(voters: VoterSet, votes: ReadonlyMap<MemberId, boolean>): VoteResult {
  if (voters.size === 0) return "VoteWon";
  let granted = 0;
  let missing = 0;
  for (const id of voters) {
    const vote = votes.get(id);
    if (vote === undefined) missing++;
    else if (vote) granted++;
  }
  const quorum = Math.floor(voters.size / 2) + 1;
  if (granted >= quorum) return "VoteWon";
  return granted + missing >= quorum ? "VotePending" : "VoteLost";
}

/** Ids in ascending numeric order. */
export function sortedIds(ids: Iterable<MemberId>): MemberId[] {
  return [...ids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** `(1 2 a)`: ascending, in hex. */
export function describeVoters(voters: VoterSet): string {
  return `(${sortedIds(voters).map(hexId).join(" ")})`;
}
