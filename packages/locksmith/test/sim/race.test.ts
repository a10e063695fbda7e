import { type Prng, type Trace, withSeeds } from "@keelson/testkit";
import { describe, expect, it } from "vitest";
import type { Condition, Entry, LockStore, Write } from "../../src/store/port.ts";
import { SimCluster, type SimCounts } from "../../src/testing/sim-cluster.ts";

const SAFETY_MS = 1_200_000;
const LIVENESS_MS = 7_200_000;

/** One run: anything may fail; then nothing does, and every machine must get its turn. */
async function race(rng: Prng, trace: Trace, breakStore?: (store: LockStore) => LockStore): Promise<SimCounts> {
  const members = rng.pick([1, 3, 3, 5]);
  const machines = members + rng.below(3);
  const cluster = new SimCluster({
    rng,
    trace,
    machines,
    members,
    max: rng.pick([1, 1, 2, 3]),
    ...(breakStore === undefined ? {} : { breakStore }),
  });
  cluster.scheduleFaults(SAFETY_MS);
  await cluster.run(SAFETY_MS);
  // A dead member keeps the other members up; a dead machine that is none must not stop anyone.
  const dead = cluster.machines.slice(members).slice(0, rng.below(2));
  cluster.heal(dead);
  const alive = cluster.machines.filter((machine) => !dead.includes(machine));
  const isDone = await cluster.run(SAFETY_MS + LIVENESS_MS, () => alive.every((machine) => machine.isDone));
  const late = alive.filter((machine) => !machine.isDone).map(({ id }) => id);
  expect(isDone, `these never got the lock: ${late.join(", ")}`).toBe(true);
  return cluster.counts;
}

describe("the race for the lock", () => {
  it("no two machines hold one slot, the queue is fair, dead holders block nobody for ever, etcd keeps its majority", {
    timeout: 3_600_000,
  }, async () => {
    const total: Record<string, number> = {};
    const startMs = performance.now();
    const { seedsRun } = await withSeeds("race", {
      seeds: 30,
      run: async ({ rng, trace }) => {
        for (const [name, n] of Object.entries(await race(rng, trace))) total[name] = (total[name] ?? 0) + n;
      },
    });
    const counts = Object.entries(total).map(([name, n]) => `${n} ${name}`);
    process.stdout.write(
      `race: ${seedsRun} seeds in ${Math.round(performance.now() - startMs)} ms: ${counts.join(", ")}\n`,
    );
    // A simulation in which nothing happens proves nothing; with a few seeds of one's own some things need not happen.
    const wanted = seedsRun < 30 ? ["reboots"] : ["reboots", "reaps", "lostHolds", "quorumRefusals"];
    for (const name of wanted) expect(total[name]).toBeGreaterThan(0);
  });

  // The simulator must see what it is there for. Each defect sits between a machine and the store, as if the transactions
  // of core/plan.ts lacked a condition, or a read were not looked at.
  it.each<[string, RegExp, Defect]>([
    [
      "an unlock without its compare",
      /believes to hold|was removed/,
      { conditions: (c, w) => (isRelease(c, w) ? [] : c) },
    ],
    [
      "a reap that does not look whether the lease runs",
      /believes to hold|was removed/,
      {
        conditions: (c) => c.filter((one) => !("createRevision" in one && one.key.includes("/holds/"))),
        entries: (entries) => entries.filter(({ key }) => !key.includes("/holds/")),
      },
    ],
    [
      "a lock without its compare",
      /beyond the maximum|believes to hold|was removed/,
      { conditions: (c) => c.filter(isNotSemaphore) },
    ],
    ["a queue that nobody respects", /came earlier/, { entries: (entries) => entries.filter(isNotQueue) }],
    ["a lease believed in for too long", /believes to hold/, { ttlFactor: 1.5 }],
    [
      "a quorum guard that does not see who is leaving",
      /of etcd/,
      { entries: (entries) => entries.map(asIfNobodyLeft) },
    ],
  ])("%s is caught", { timeout: 600_000 }, async (title, symptom, defect) => {
    const failures: string[] = [];
    await withSeeds(`broken: ${title}`, {
      seeds: 40,
      run: async ({ rng, trace }) => {
        if (failures.length > 0) return;
        await race(rng, trace, (store) => withDefect(store, defect)).catch((error: unknown) =>
          failures.push(String(error)),
        );
      },
    });
    expect(failures[0]).toMatch(symptom);
  });
});

interface Defect {
  readonly conditions?: (conditions: readonly Condition[], writes: readonly Write[]) => readonly Condition[];
  readonly entries?: (entries: readonly Entry[]) => readonly Entry[];
  readonly ttlFactor?: number;
}

function withDefect(store: LockStore, defect: Defect): LockStore {
  const longer = (ttlS: number) => ttlS * (defect.ttlFactor ?? 1);
  return {
    async read(ranges, signal) {
      const { revision, entries } = await store.read(ranges, signal);
      return { revision, entries: defect.entries?.(entries) ?? entries };
    },
    commit: (conditions, writes, signal) =>
      store.commit(defect.conditions?.(conditions, writes) ?? conditions, writes, signal),
    changed: (prefix, afterRevision, signal) => store.changed(prefix, afterRevision, signal),
    async grant(ttlS, signal) {
      const granted = await store.grant(ttlS, signal);
      return { id: granted.id, ttlS: longer(granted.ttlS) };
    },
    keepAlive: async (id, signal) => longer(await store.keepAlive(id, signal)),
    revoke: (id, signal) => store.revoke(id, signal),
  };
}

const isNotSemaphore = (condition: Condition) => !("key" in condition && condition.key.endsWith("/semaphore"));
const isNotQueue = ({ key }: Entry) => !key.includes("/queue/");
const asIfNobodyLeft = (entry: Entry) => (entry.key.endsWith("/leaving") ? { ...entry, value: "{}" } : entry);

function isRelease(conditions: readonly Condition[], writes: readonly Write[]): boolean {
  const isReap = conditions.some((one) => "createRevision" in one && one.key.includes("/holds/"));
  return !isReap && writes.some((write) => write.type === "delete" && write.key.includes("/holds/"));
}
