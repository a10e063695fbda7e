import { expect, it } from "vitest";
import { Prng } from "./prng.ts";
import { runSim } from "./run-sim.ts";
import { SimClock } from "./sim-clock.ts";

it("runs events in order of time, and those of one instant in order of insertion", () => {
  const clock = new SimClock();
  const seen: string[] = [];
  clock.after(20, () => seen.push("c"));
  clock.after(10, () => {
    seen.push("a");
    clock.after(0, () => seen.push("a2"));
  });
  clock.after(10, () => seen.push("b"));
  clock.after(15, () => seen.push("never"))[Symbol.dispose]();
  clock.run(19);
  expect(seen).toEqual(["a", "b", "a2"]);
  expect(clock.monotonicMs()).toBe(19);
  clock.run(30);
  expect(seen).toEqual(["a", "b", "a2", "c"]);
  expect(clock.pending).toBe(0);
});

it("agrees with a sorted list for any order of insertion and cancellation", () => {
  const rng = new Prng("heap");
  const clock = new SimClock();
  const expected: { at: number; id: number }[] = [];
  const seen: number[] = [];
  for (let id = 0; id < 2_000; id++) {
    const at = rng.below(300);
    const timer = clock.after(at, () => seen.push(id));
    if (rng.chance(0.3)) timer[Symbol.dispose]();
    else expected.push({ at, id });
  }
  expect(clock.pending).toBe(expected.length);
  clock.run(300);
  expect(seen).toEqual(expected.toSorted((a, b) => a.at - b.at || a.id - b.id).map((e) => e.id));
});

it("repeats until disposed, also from within", () => {
  const clock = new SimClock();
  const at: number[] = [];
  const timer = clock.every(10, () => {
    at.push(clock.monotonicMs());
    if (at.length === 3) timer[Symbol.dispose]();
  });
  clock.run(100);
  expect(at).toEqual([10, 20, 30]);
});

it("lets promise chains of any length finish between two events", async () => {
  const clock = new SimClock();
  const seen: string[] = [];
  const worker = async (name: string) => {
    await clock.sleep(10);
    for (let i = 0; i < 50; i++) await Promise.resolve();
    seen.push(`${name} done at ${clock.monotonicMs()}`);
  };
  void worker("a");
  void worker("b");
  clock.after(10, () => seen.push("event"));
  expect(await runSim(clock, { untilMs: 100 })).toBe("idle");
  expect(seen).toEqual(["a done at 10", "b done at 10", "event"]);
  expect(clock.monotonicMs()).toBe(100);
});

it("stops when the condition holds, when time is up, and when a run does not end", async () => {
  const clock = new SimClock();
  let n = 0;
  clock.every(1, () => n++);
  expect(await runSim(clock, { untilMs: 1_000, until: () => n === 5 })).toBe("until");
  expect(clock.monotonicMs()).toBe(5);
  expect(await runSim(clock, { untilMs: 8 })).toBe("time");
  await expect(runSim(clock, { untilMs: 1_000, eventsMax: 10 })).rejects.toThrow(/bound of events/);
});

it("shows each machine its own time", () => {
  const clock = new SimClock({ epochMs: 1_000_000 });
  const fast = clock.view({ driftPpm: 100_000, offsetMs: 500 });
  const fired: number[] = [];
  fast.after(110, () => fired.push(clock.monotonicMs()));
  expect(fast.wallMs()).toBe(1_000_500);
  clock.run(100);
  expect(fired).toHaveLength(1);
  expect(fired[0]).toBeCloseTo(100, 6);
  expect(fast.monotonicMs()).toBeCloseTo(110, 6);
  expect(fast.wallMs()).toBeCloseTo(1_000_610, 6);
  fast.jumpWall(-1_000);
  expect(fast.wallMs()).toBeCloseTo(999_610, 6);
  fast.after(10, () => fired.push(clock.monotonicMs()));
  fast.setDrift(-500_000);
  clock.run(130);
  expect(fired[1]).toBeCloseTo(120, 6);
});

it("pauses a machine's timers and kills them with it", () => {
  const clock = new SimClock();
  const view = clock.view();
  const seen: string[] = [];
  view.after(10, () => seen.push("late b"));
  view.after(5, () => seen.push("late a"));
  view.pause();
  view.after(1, () => seen.push("later still"));
  clock.run(20);
  expect(seen).toEqual([]);
  view.resume();
  clock.run(20);
  expect(seen).toEqual(["later still", "late a", "late b"]);
  view.every(5, () => seen.push("dead"));
  view[Symbol.dispose]();
  view.after(1, () => seen.push("dead"));
  clock.run(100);
  expect(seen).toHaveLength(3);
});
