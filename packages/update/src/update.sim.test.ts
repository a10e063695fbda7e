import { Prng, SimClock, withSeeds } from "@keelson/testkit";
import { expect, it } from "vitest";
import type { Policy } from "./core/agent/model.ts";
import { addRelease, emptyStream } from "./core/release.ts";
import { type Behaviour, SimFleet } from "./testing/sim-fleet.ts";
import { NO_FAULTS, SimMachine } from "./testing/sim-machine.ts";

const MINUTE = 60_000;
const commit = (n: number) => n.toString(16).repeat(64).slice(0, 64);
const release = (n: number) => ({ version: `${n}.0.0`, commit: commit(n), timestamp: n });
const POLICY: Policy = {
  isEnabled: true,
  machine: "x",
  steadyMs: 5 * MINUTE,
  retryMinMs: 5_000,
  retryMaxMs: 5 * MINUTE,
  failuresMax: 12,
  abandonMs: 30 * MINUTE,
  gateDeadlineMs: 5 * MINUTE,
  preflightDeadlineMs: MINUTE,
  needsLock: true,
};

function makeFleet(rng: Prng, policy: Policy = POLICY) {
  const clock = new SimClock();
  const fleet = new SimFleet(clock, {
    stream: addRelease(emptyStream("test"), release(1)),
    lockTtlMs: 15 * MINUTE,
    slots: 1,
  });
  const machines = ["a", "b", "c"].map(
    (name) =>
      new SimMachine(fleet, { name, random: rng.fork(name), policy: { ...policy, machine: name }, version: "1.0.0" }),
  );
  for (const machine of machines) machine.powerOn();
  const publish = (n: number, behaviour: Behaviour = "good") => {
    fleet.behaviours.set(`${n}.0.0`, behaviour);
    fleet.stream = addRelease(fleet.stream, release(n));
  };
  const check = () => expect(fleet.violations).toEqual([]);
  const versions = () => machines.map((m) => m.booted.version).join(" ");
  const log = () => machines.flatMap((m) => m.log).toSorted((x, y) => Number.parseFloat(x) - Number.parseFloat(y));
  return { clock, fleet, machines, publish, versions, log, check };
}

it("three machines take a good version one at a time", async () => {
  const { clock, fleet, publish, versions, log, machines } = makeFleet(new Prng(1));
  await clock.runAsync(MINUTE);
  publish(2);
  await clock.runAsync(30 * MINUTE);
  expect(versions()).toBe("2.0.0 2.0.0 2.0.0");
  expect(fleet.holds.size).toBe(0);
  // From one reboot to the lock's return no other machine reboots.
  const events = log().filter((line) => /reboots|gives the lock back/.test(line) && !/ 20\.0 /.test(line));
  const order = events.map((line) => line.replace(/^[\d.]+ /, ""));
  for (let i = 0; i < order.length; i += 2)
    expect(order[i + 1]).toBe(order[i]?.replace("reboots", "gives the lock back"));
  expect(machines[0]?.updater?.agent.memory.history.map((h) => h.what)).toEqual(["updated"]);
});

it.each(["panics", "gate-red"] as const)(
  "a v2 that %s stops at the first machine, and v3 goes through",
  async (how) => {
    const { clock, fleet, publish, versions, machines } = makeFleet(new Prng(2));
    publish(2, how);
    await clock.runAsync(60 * MINUTE);
    expect(versions()).toBe("1.0.0 1.0.0 1.0.0");
    expect(fleet.tried.get("2.0.0")?.size).toBe(1);
    expect(fleet.denials.map((d) => d.version)).toEqual(["2.0.0"]);
    const canary = machines.find((m) => fleet.tried.get("2.0.0")?.has(m.name));
    const [entry] = canary?.updater?.agent.memory.history ?? [];
    expect(entry).toMatchObject({ what: "rolled-back", from: { version: "1.0.0" }, to: { version: "2.0.0" } });
    expect(entry?.reason).toBe(how === "panics" ? "kernel panic" : "health gate: fleetd: not healthy after 300000 ms");
    publish(3);
    await clock.runAsync(120 * MINUTE);
    expect(versions()).toBe("3.0.0 3.0.0 3.0.0");
  },
);

it("a machine that dies with the lock stops the rollout, but not the next version", async () => {
  const { clock, fleet, publish, machines } = makeFleet(new Prng(3));
  publish(2);
  await clock.runAsync(MINUTE / 2);
  while (fleet.tried.size === 0) await clock.runAsync(clock.monotonicMs() + 1_000);
  const dead = machines.find((m) => fleet.tried.get("2.0.0")?.has(m.name));
  dead?.powerCut();
  if (dead !== undefined) dead.powerOn = () => {};
  await clock.runAsync(60 * MINUTE);
  expect(fleet.denials).toMatchObject([{ version: "2.0.0", reason: `${dead?.name} did not come back` }]);
  const others = machines.filter((m) => m !== dead);
  expect(others.map((m) => m.booted.version)).toEqual(["1.0.0", "1.0.0"]);
  publish(3);
  await clock.runAsync(120 * MINUTE);
  expect(others.map((m) => m.booted.version)).toEqual(["3.0.0", "3.0.0"]);
});

it("a lock that runs out while a machine is busy keeps it from rebooting", async () => {
  const { clock, fleet, publish, machines, versions, check } = makeFleet(new Prng(6));
  await clock.runAsync(MINUTE);
  publish(2);
  for (const machine of machines) machine.stallAt = { what: "merge /etc", ms: 16 * MINUTE };
  while (fleet.holds.size === 0) await clock.runAsync(clock.monotonicMs() + 1_000);
  const slow = machines.find((m) => fleet.holds.has(m.name));
  if (slow !== undefined) slow.isLockReachable = false;
  await clock.runAsync(clock.monotonicMs() + 20 * MINUTE);
  check();
  expect(slow?.booted.version).toBe("1.0.0");
  // The others saw a machine vanish with the lock, and nobody goes on with that version.
  expect(fleet.denials).toMatchObject([{ version: "2.0.0", reason: `${slow?.name} did not come back` }]);
  if (slow !== undefined) slow.isLockReachable = true;
  publish(3);
  await clock.runAsync(clock.monotonicMs() + 90 * MINUTE);
  expect(versions()).toBe("3.0.0 3.0.0 3.0.0");
  check();
});

it("a machine that is ill does not try, so it cannot blame the version", async () => {
  const { clock, fleet, publish, machines } = makeFleet(new Prng(4));
  await clock.runAsync(MINUTE);
  const [ill] = machines;
  if (ill !== undefined) ill.isWell = false;
  publish(2);
  await clock.runAsync(60 * MINUTE);
  expect(fleet.denials).toEqual([]);
  expect(machines.map((m) => m.booted.version)).toEqual(["1.0.0", "2.0.0", "2.0.0"]);
  if (ill !== undefined) ill.isWell = true;
  await clock.runAsync(90 * MINUTE);
  expect(ill?.booted.version).toBe("2.0.0");
});

it("a lying server changes nothing, and an honest one is listened to again", async () => {
  const { clock, fleet, publish, versions } = makeFleet(new Prng(5));
  fleet.isServerLying = true;
  publish(2);
  await clock.runAsync(30 * MINUTE);
  expect(versions()).toBe("1.0.0 1.0.0 1.0.0");
  fleet.isServerLying = false;
  await clock.runAsync(120 * MINUTE);
  expect(versions()).toBe("2.0.0 2.0.0 2.0.0");
});

// Safety is asserted by the fleet and the machines as it happens; here everything may fail, then it must converge.
it("update-crashes", { timeout: 120_000 }, async () => {
  let trials = 0;
  await withSeeds("update-crashes", {
    seeds: 150,
    budgetMs: 15_000,
    run: async ({ rng }) => {
      const { clock, fleet, machines, publish, versions, log, check } = makeFleet(rng);
      const bad = rng.pick<Behaviour>(["panics", "gate-red", "good"]);
      try {
        await clock.runAsync(MINUTE);
        publish(2, bad);
        const partitions = new Map(
          machines.map((m) => [m, { from: rng.between(2, 60), minutes: rng.pick([0, 3, 18, 30]) }]),
        );
        for (let minute = 2; minute < 90; minute++) {
          for (const machine of machines) {
            const scale = rng.pick([0, 0, 1, 3]);
            machine.faults.fail = 0.03 * scale;
            machine.faults.killAgent = 0.02 * scale;
            machine.faults.powerCut = 0.01 * scale;
            machine.faults.stall = 0.01 * scale;
            const { from, minutes } = partitions.get(machine) ?? { from: 0, minutes: 0 };
            machine.isLockReachable = minute < from || minute >= from + minutes;
            machine.isWell = !rng.chance(0.03);
            if (rng.chance(0.02)) machine.powerCut();
          }
          fleet.isServerDown = rng.chance(0.1);
          fleet.isServerLying = rng.chance(0.05);
          await clock.runAsync(minute * MINUTE);
          check();
        }
        for (const machine of machines) Object.assign(machine, { isLockReachable: true, isWell: true });
        for (const machine of machines) Object.assign(machine.faults, NO_FAULTS);
        Object.assign(fleet, { isServerDown: false, isServerLying: false });
        expect(bad === "good" ? 0 : (fleet.tried.get("2.0.0")?.size ?? 0)).toBeLessThanOrEqual(1);
        publish(3);
        for (let minute = 90; minute < 400 && versions() !== "3.0.0 3.0.0 3.0.0"; minute += 5) {
          await clock.runAsync(minute * MINUTE);
        }
        await clock.runAsync(clock.monotonicMs() + 10 * MINUTE);
        expect(versions()).toBe("3.0.0 3.0.0 3.0.0");
        expect([...fleet.holds.keys()]).toEqual([]);
        check();
        trials += fleet.tried.get("3.0.0")?.size ?? 0;
      } catch (error) {
        process.stderr.write(`${log().slice(-60).join("\n")}\n`);
        for (const m of machines) process.stderr.write(`${m.name} ${JSON.stringify(m.updater?.agent.phase)}\n`);
        throw error;
      }
    },
  });
  expect(trials).toBeGreaterThan(0);
});
