import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { committedByCounting } from "../../test/harness/quorum-commands.ts";
import { type JointVoters, jointCommitted, jointVote } from "./joint.ts";
import { majorityCommitted, majorityVote, UNBOUNDED } from "./majority.ts";

// Raft paper 5.3 and 5.4; thesis 4.3 for joint majorities.

const member = fc.bigInt({ min: 1n, max: 9n });
const voters = fc.uniqueArray(member, { maxLength: 9 }).map((ids) => new Set(ids));
const acks = fc.array(fc.tuple(member, fc.integer({ min: 1, max: 20 }))).map((pairs) => new Map(pairs));
const ballots = fc.array(fc.tuple(member, fc.boolean())).map((pairs) => new Map(pairs));
const NOBODY = new Set<bigint>();

describe("committed index", () => {
  it("is what counting gives", () => {
    fc.assert(
      fc.property(voters, acks, (v, known) => {
        expect(majorityCommitted(v, (id) => known.get(id))).toBe(committedByCounting(v, known));
      }),
    );
  });
  it("never falls when someone acknowledges more", () => {
    fc.assert(
      fc.property(voters, acks, member, fc.integer({ min: 1, max: 9 }), (v, known, id, more) => {
        const later = new Map(known).set(id, (known.get(id) ?? 0) + more);
        const before = majorityCommitted(v, (x) => known.get(x));
        expect(majorityCommitted(v, (x) => later.get(x))).toBeGreaterThanOrEqual(before);
      }),
    );
  });
  it("of a joint quorum is symmetric, and the smaller of the halves", () => {
    fc.assert(
      fc.property(voters, voters, acks, (a, b, known) => {
        const acked = (id: bigint): number | undefined => known.get(id);
        const joint = jointCommitted([a, b], acked);
        expect(joint).toBe(jointCommitted([b, a], acked));
        expect(joint).toBe(Math.min(majorityCommitted(a, acked), majorityCommitted(b, acked)));
      }),
    );
  });
  it("of nobody is no constraint", () => expect(majorityCommitted(NOBODY, () => 3)).toBe(UNBOUNDED));
});

describe("votes", () => {
  it("can only be won by one side", () => {
    fc.assert(
      fc.property(voters, ballots, (v, votes) => {
        const inverted = new Map([...votes].map(([id, vote]) => [id, !vote]));
        const both = [majorityVote(v, votes), majorityVote(v, inverted)];
        expect(v.size > 0 && both.every((r) => r === "VoteWon")).toBe(false);
      }),
    );
  });
  it("of a joint quorum are won only in both halves and lost in either", () => {
    fc.assert(
      fc.property(voters, voters, ballots, (a, b, votes) => {
        const joint: JointVoters = [a, b];
        const halves = [majorityVote(a, votes), majorityVote(b, votes)];
        const want = halves.includes("VoteLost")
          ? "VoteLost"
          : halves.includes("VotePending")
            ? "VotePending"
            : "VoteWon";
        expect(jointVote(joint, votes)).toBe(want);
        expect(jointVote([b, a], votes)).toBe(want);
      }),
    );
  });
});
