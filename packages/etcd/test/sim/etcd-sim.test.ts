import type { KvStore } from "@keelson/storage";
import { Prng, Trace, withSeeds } from "@keelson/testkit";
import { expect, it } from "vitest";
import { logKey } from "../../src/core/keys.ts";
import type { Sabotage } from "./sim-member.ts";
import { type SimStats, simulate } from "./sim-run.ts";

/** What CI spends; `SIM_SEEDS=2000` or `npm run sim` for more. */
const SEEDS = 60;
/** In this many seeds at most, a build that is broken on purpose must be caught. */
const SABOTAGE_SEEDS = 60;

it("whole clusters: nothing acknowledged is lost, histories are linearizable, members are equal", {
  timeout: 7_200_000,
}, async () => {
  const total = { operations: 0, acknowledged: 0, events: 0 };
  const { seedsRun } = await withSeeds("etcd", {
    seeds: SEEDS,
    run: async (run) => {
      const stats = await simulate(run);
      total.operations += stats.operations;
      total.acknowledged += stats.acknowledged;
      total.events += stats.events;
    },
  });
  process.stdout.write(
    `etcd simulator: ${seedsRun} seeds, ${total.operations} operations, ${total.acknowledged} acknowledged writes, ${total.events} events\n`,
  );
  expect(total.acknowledged).toBeGreaterThan(0);
});

it("one seed gives one run", async () => {
  const runs: SimStats[] = [];
  for (let i = 0; i < 2; i++) runs.push(await simulate({ rng: new Prng(7), trace: new Trace() }));
  expect(runs[0]).toEqual(runs[1]);
});

/** A store that passes `sync` on only for batches that `keeps` says. */
function forgetful(store: KvStore, keeps: (ops: Parameters<KvStore["write"]>[0]) => boolean): KvStore {
  return {
    get: (key) => store.get(key),
    scan: (options) => store.scan(options),
    close: () => store.close(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    write: (ops, { sync }) => store.write(ops, { sync: sync && keeps(ops) }),
  };
}

/** Whether a batch appends to the log. What is synced besides is a hard state alone: a vote. */
const appends = (ops: Parameters<KvStore["write"]>[0]): boolean =>
  ops.some((op) => op.type === "put" && op.key[0] === logKey(1)[0]);

const broken: [title: string, sabotage: Sabotage, paceMs: number][] = [
  ["appends are not synced", { store: (store) => forgetful(store, (ops) => !appends(ops)) }, 1_500],
  ["votes are not synced", { store: (store) => forgetful(store, appends) }, 500],
  ["reads are answered without ReadIndex", { readWithoutReadIndex: true }, 1_500],
];

it.each(broken)("a build in which %s is caught", { timeout: 600_000 }, async (title, sabotage, paceMs) => {
  for (let seed = 1; seed <= SABOTAGE_SEEDS; seed++) {
    try {
      await simulate({ rng: new Prng(seed), trace: new Trace() }, { sabotage, paceMs });
    } catch (error) {
      process.stdout.write(`caught by seed ${seed}: ${title}: ${String((error as Error).message).split("\n")[0]}\n`);
      return;
    }
  }
  expect.unreachable(`${SABOTAGE_SEEDS} seeds did not catch it`);
});
