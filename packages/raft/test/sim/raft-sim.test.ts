import { Prng, withSeeds } from "@keelson/testkit";
import { describe, expect, it } from "vitest";
import { SafetyViolation } from "./checker.ts";
import { SimCluster, type TraceSink } from "./cluster.ts";
import type { Bug } from "./sim-node.ts";

const ROUGH_TICKS = 800;
const QUIET_TICKS_MAX = 2_000;

// SEED=n replays one run; SIM_SEEDS=n runs more. Each run draws its own options, faults and sizes.
const seedsAsked = process.env["SIM_SEEDS"];

describe("raft simulation", () => {
  it("raft-sim", { timeout: seedsAsked === undefined ? 60_000 : 24 * 3_600_000 }, async () => {
    let withoutLeader = 0;
    const { seedsRun } = await withSeeds("raft-sim", {
      seeds: 40,
      budgetMs: seedsAsked === undefined ? 4_000 : Number.POSITIVE_INFINITY,
      run: ({ rng, trace }) => {
        const cluster = new SimCluster(rng, trace);
        for (let i = 0; i < ROUGH_TICKS; i++) cluster.rough();
        cluster.calm();
        const goal = cluster.committed + 3;
        for (let i = 0; i < QUIET_TICKS_MAX && !cluster.converged(goal); i++) cluster.quiet();
        if (cluster.converged(goal)) return;
        if (cluster.electable()) {
          throw new Error(`no progress to ${goal} after the faults ended\n${cluster.describe()}`);
        }
        withoutLeader++;
      },
    });
    process.stdout.write(`raft-sim: ${seedsRun} seeds held; ${withoutLeader} ended in a group that cannot elect\n`);
    expect(seedsRun).toBeGreaterThan(0);
    // Rare, see `electable`.
    expect(withoutLeader).toBeLessThanOrEqual(Math.ceil(seedsRun / 50));
  });
});

/** The first seed under which a broken node is caught, and how. */
function firstCaught(bug: Bug, seedsMax: number): { seed: number; why: string } | undefined {
  const nowhere: TraceSink = { add() {} };
  for (let seed = 1; seed <= seedsMax; seed++) {
    const cluster = new SimCluster(new Prng(seed), nowhere, bug);
    try {
      for (let i = 0; i < ROUGH_TICKS; i++) cluster.rough();
    } catch (error) {
      const expected =
        error instanceof SafetyViolation || (error instanceof Error && /invariant broken/.test(error.message));
      if (!expected) throw error;
      return { seed, why: error.message };
    }
  }
  return undefined;
}

describe("a broken node is caught", () => {
  it.each([
    ["send-before-sync", "votes and acknowledgements leave before they are on disk"],
    ["forgets-vote", "a restarted node may vote again in the same term"],
    ["read-without-quorum", "reads are answered without asking a quorum"],
  ] as [Bug, string][])("%s: %s", (bug) => {
    const caught = firstCaught(bug, 200);
    expect(caught).toBeDefined();
    process.stdout.write(`${bug}: caught under seed ${caught?.seed}: ${caught?.why}\n`);
  });
});
