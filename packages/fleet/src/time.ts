import type { Clock } from "@keelson/types";

/** Resolves after `delayMs` of the clock's time, or as soon as the signal aborts. Never rejects. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const finish = () => {
      signal?.removeEventListener("abort", finish);
      timer[Symbol.dispose]();
      resolve();
    };
    const timer = clock.after(delayMs, finish);
    signal?.addEventListener("abort", finish);
  });
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => onAbort(signal, () => resolve()));
}

/** Calls `fn` when the signal aborts; at once when it has. */
export function onAbort(signal: AbortSignal, fn: () => void): void {
  if (signal.aborted) fn();
  else signal.addEventListener("abort", fn, { once: true });
}

/** Growing pauses between tries: doubles from `minMs` to `maxMs`; `reset` after a success. */
export class Backoff {
  readonly #clock: Clock;
  readonly #minMs: number;
  readonly #maxMs: number;
  #nextMs: number;

  constructor(clock: Clock, minMs: number, maxMs: number) {
    this.#clock = clock;
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#nextMs = minMs;
  }

  /** The length of the next pause, which then grows. */
  take(): number {
    const ms = this.#nextMs;
    this.#nextMs = Math.min(2 * ms, this.#maxMs);
    return ms;
  }

  wait(signal?: AbortSignal): Promise<void> {
    return delay(this.#clock, this.take(), signal);
  }

  reset(): void {
    this.#nextMs = this.#minMs;
  }
}

/** A flag that can be waited for: many `raise` calls before a `wait` count as one. */
export class Signal {
  #isRaised = false;
  #wake: (() => void) | undefined;

  raise(): void {
    this.#isRaised = true;
    this.#wake?.();
  }

  /** Resolves when raised, and lowers it; or when the signal aborts. One waiter at a time. */
  async wait(signal: AbortSignal): Promise<void> {
    while (!this.#isRaised && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const finish = () => {
          signal.removeEventListener("abort", finish);
          this.#wake = undefined;
          resolve();
        };
        this.#wake = finish;
        signal.addEventListener("abort", finish);
      });
    }
    this.#isRaised = false;
  }
}
