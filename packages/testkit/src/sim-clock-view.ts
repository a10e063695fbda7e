import { assert, type Clock } from "@keelson/types";
import { repeat } from "./repeat.ts";
import type { SimClock } from "./sim-clock.ts";

/** How a machine's clock differs from true time. */
export interface ViewOptions {
  /** Added to `wallMs`. Default 0. */
  readonly offsetMs?: number;
  /** How much faster this clock runs, in millionths; negative is slower. Default 0. */
  readonly driftPpm?: number;
}

interface Timer {
  /** The view's own monotonic time at which it is due. */
  readonly dueMs: number;
  readonly fn: () => void;
  handle: Disposable | undefined;
}

/** One machine's view of a {@link SimClock}. Made by `clock.view()`. */
export class SimClockView implements Clock, Disposable {
  readonly #clock: SimClock;
  readonly #timers = new Set<Timer>();
  #rate: number;
  #offsetMs: number;
  #ownMs: number;
  #asOfMs: number;
  #paused = false;
  #disposed = false;

  constructor(clock: SimClock, options: ViewOptions) {
    this.#clock = clock;
    this.#rate = rateOf(options.driftPpm ?? 0);
    this.#offsetMs = options.offsetMs ?? 0;
    this.#ownMs = clock.monotonicMs();
    this.#asOfMs = this.#ownMs;
  }

  monotonicMs(): number {
    return this.#ownMs + (this.#clock.monotonicMs() - this.#asOfMs) * this.#rate;
  }

  wallMs(): number {
    const trueElapsedMs = this.#clock.monotonicMs();
    return this.#clock.wallMs() - trueElapsedMs + this.monotonicMs() + this.#offsetMs;
  }

  after(delayMs: number, fn: () => void): Disposable {
    assert(delayMs >= 0, "a delay is not negative", { delayMs });
    const timer: Timer = { dueMs: this.monotonicMs() + delayMs, fn, handle: undefined };
    // The programs of a machine that is gone may still ask for timers; they never fire.
    if (!this.#disposed) {
      this.#timers.add(timer);
      this.#arm(timer);
    }
    return { [Symbol.dispose]: () => this.#cancel(timer) };
  }

  every(periodMs: number, fn: () => void): Disposable {
    return repeat(this, periodMs, fn);
  }

  /** Changes the rate from now on. Waiting timers follow. */
  setDrift(driftPpm: number): void {
    this.#ownMs = this.monotonicMs();
    this.#asOfMs = this.#clock.monotonicMs();
    this.#rate = rateOf(driftPpm);
    this.#rearm();
  }

  /** Moves the wall clock as `date -s` would; monotonic time and timers do not notice. */
  jumpWall(byMs: number): void {
    this.#offsetMs += byMs;
  }

  /** Stops the machine's timers, as SIGSTOP does. Time goes on. */
  pause(): void {
    this.#paused = true;
    for (const timer of this.#timers) timer.handle?.[Symbol.dispose]();
  }

  /** Lets timers run again; those that came due during the pause fire at once, in order. */
  resume(): void {
    this.#paused = false;
    this.#rearm();
  }

  /** Cancels every timer: the machine's programs are dead. Later `after` calls do nothing. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const timer of this.#timers) timer.handle?.[Symbol.dispose]();
    this.#timers.clear();
  }

  #arm(timer: Timer): void {
    if (this.#paused) return;
    const delayMs = Math.max(0, (timer.dueMs - this.monotonicMs()) / this.#rate);
    timer.handle = this.#clock.after(delayMs, () => {
      this.#timers.delete(timer);
      timer.fn();
    });
  }

  #rearm(): void {
    for (const timer of this.#timers) timer.handle?.[Symbol.dispose]();
    // Sorting is stable, so timers of one instant keep the order in which they were asked for.
    for (const timer of [...this.#timers].toSorted((a, b) => a.dueMs - b.dueMs)) this.#arm(timer);
  }

  #cancel(timer: Timer): void {
    this.#timers.delete(timer);
    timer.handle?.[Symbol.dispose]();
  }
}

function rateOf(driftPpm: number): number {
  const rate = 1 + driftPpm / 1e6;
  assert(rate > 0, "a clock does not run backwards", { driftPpm });
  return rate;
}
