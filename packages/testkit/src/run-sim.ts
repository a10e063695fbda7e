import { assert } from "@keelson/types";
import type { SimClock } from "./sim-clock.ts";

/** Options of {@link runSim}. */
export interface RunSimOptions {
  /** Virtual time at which to stop. */
  readonly untilMs: number;
  /** Checked between events; stops the run when true. */
  readonly until?: () => boolean;
  /** Called after each event and its promise work; the place for invariants. */
  readonly check?: () => void;
  /** A run with more events than this fails: something spins without moving time. Default 10 million. */
  readonly eventsMax?: number;
}

/** Why {@link runSim} stopped: `until` held, time was up, or nothing was left to happen. */
export type RunSimResult = "until" | "time" | "idle";

/** Drives a simulation: events one by one, with all promise work of each finished before the next. */
export async function runSim(clock: SimClock, options: RunSimOptions): Promise<RunSimResult> {
  const eventsMax = options.eventsMax ?? 10_000_000;
  await clock.settle();
  for (let events = 0; ; events++) {
    options.check?.();
    if (options.until?.() === true) return "until";
    const next = clock.nextAtMs();
    if (next === undefined || next > options.untilMs) {
      clock.run(options.untilMs);
      return next === undefined ? "idle" : "time";
    }
    assert(events < eventsMax, "the simulation stays within its bound of events", { eventsMax, atMs: next });
    clock.step();
    await clock.settle();
  }
}
