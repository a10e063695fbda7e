import { SimClock } from "@keelson/testkit";
import { expect, it } from "vitest";
import { retryDelayMs, wait } from "./backoff.ts";
import { nextChunk, SpeedGuard } from "./speed-guard.ts";

const LIMITS = { idleMs: 1_000, bytesPerSecondMin: 100, windowMs: 2_000 };

/** A source that gives `bytes` after `delayMs` each time. */
function drip(clock: SimClock, delayMs: number, bytes: number): AsyncIterator<Uint8Array> {
  return {
    next: () =>
      new Promise((resolve) => {
        clock.after(delayMs, () => resolve({ done: false, value: new Uint8Array(bytes) }));
      }),
  };
}

async function readAll(clock: SimClock, source: AsyncIterator<Uint8Array>, chunks: number): Promise<string> {
  const guard = new SpeedGuard(clock, LIMITS);
  const reading = (async () => {
    for (let i = 0; i < chunks; i++) await nextChunk(source, "http://x/", guard);
    return "done";
  })();
  reading.catch(() => {});
  await clock.runAsync(60_000);
  return await reading;
}

it.each<[string, number, number, RegExp | string]>([
  ["fast enough", 500, 60, "done"],
  ["just fast enough", 1_000 - 1, 100, "done"],
  ["below the least speed over the window", 500, 49, /more slowly than 100 bytes per second over 2000 ms/],
  ["silent for too long", 1_001, 1_000_000, /no byte arrived for 1000 ms/],
])("a server that is %s", async (_title, delayMs, bytes, want) => {
  const clock = new SimClock();
  const outcome = readAll(clock, drip(clock, delayMs, bytes), 10).catch((error: Error) => error.message);
  expect(await outcome).toMatch(want);
});

it("does not count the time that our own disk takes", async () => {
  const clock = new SimClock();
  const guard = new SpeedGuard(clock, LIMITS);
  const source = drip(clock, 1, 10);
  for (let i = 0; i < 20; i++) {
    const next = nextChunk(source, "http://x/", guard);
    await clock.runAsync(clock.monotonicMs() + 1);
    expect((await next).done).toBe(false);
    await clock.runAsync(clock.monotonicMs() + 10_000); // written for ten seconds
  }
});

it("waits longer before each further try, up to a bound", () => {
  expect([1, 2, 3, 4, 5, 6, 100].map((attempt) => retryDelayMs(attempt, 500))).toEqual([
    500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000,
  ]);
});

it("waits on the clock, and ends with the signal's reason", async () => {
  const clock = new SimClock();
  const stop = new AbortController();
  let done = 0;
  const first = wait(clock, 100, stop.signal).then(() => done++);
  await clock.runAsync(99);
  expect(done).toBe(0);
  await clock.runAsync(100);
  await first;
  expect(done).toBe(1);
  const second = wait(clock, 100, stop.signal);
  stop.abort(new Error("enough"));
  await expect(second).rejects.toThrow("enough");
  expect(clock.pending).toBe(0);
});
