import { assert, type Clock } from "@keelson/types";
import { EventQueue } from "./event-queue.ts";
import { repeat } from "./repeat.ts";
import { SimClockView, type ViewOptions } from "./sim-clock-view.ts";

/** Options of {@link SimClock}. */
export interface SimClockOptions {
  /** What `wallMs` shows at virtual time 0. Default 2026-01-01T00:00:00Z. */
  readonly epochMs?: number;
}

/**
 * A {@link Clock} whose time moves only when told to. It starts at 0; events run in order of time, and those of the same
 * instant in the order in which they were asked for.
 */
export class SimClock implements Clock {
  readonly #queue = new EventQueue();
  readonly #epochMs: number;
  #nowMs = 0;
  #eventsRun = 0;

  constructor(options: SimClockOptions = {}) {
    this.#epochMs = options.epochMs ?? Date.UTC(2026, 0, 1);
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#epochMs + this.#nowMs;
  }

  after(delayMs: number, fn: () => void): Disposable {
    assert(delayMs >= 0, "a delay is not negative", { delayMs });
    return this.#queue.add(this.#nowMs + delayMs, fn);
  }

  every(periodMs: number, fn: () => void): Disposable {
    return repeat(this, periodMs, fn);
  }

  /** Events waiting. */
  get pending(): number {
    return this.#queue.size;
  }

  /** Events run so far: equal for two runs of one seed. */
  get eventsRun(): number {
    return this.#eventsRun;
  }

  /** When the next event is due, or undefined when none is waiting. */
  nextAtMs(): number | undefined {
    return this.#queue.nextAtMs();
  }

  /** Moves time to the next event and runs it. False when there is none. */
  step(): boolean {
    const event = this.#queue.pop();
    if (event === undefined) return false;
    this.#nowMs = Math.max(this.#nowMs, event.atMs);
    this.#eventsRun++;
    event.fn();
    return true;
  }

  /** Runs all events up to and including `untilMs`, without letting promises run between them; then it is `untilMs`. */
  run(untilMs: number): void {
    for (let next = this.nextAtMs(); next !== undefined && next <= untilMs; next = this.nextAtMs()) this.step();
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /** As {@link run}, but lets pending promise work finish before, between and after the events. */
  async runAsync(untilMs: number): Promise<void> {
    await this.settle();
    for (let next = this.nextAtMs(); next !== undefined && next <= untilMs; next = this.nextAtMs()) {
      this.step();
      await this.settle();
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /**
   * Resolves when all promise work that needs nothing from outside has finished: Node empties its microtask queue
   * before it runs an immediate. Code under simulation therefore may await promises, but no real I/O or timer.
   */
  settle(): Promise<void> {
    return new Promise((resolve) => void setImmediate(resolve));
  }

  /** The clock as one machine sees it, with its own offset and drift; its timers can be paused or cancelled together. */
  view(options: ViewOptions = {}): SimClockView {
    return new SimClockView(this, options);
  }

  /** Resolves after `delayMs` of virtual time. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve));
  }
}
