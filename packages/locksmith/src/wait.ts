import type { Clock, Random } from "@keelson/types";

/** Resolves after a while, or as soon as the signal aborts. Never rejects. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal?.aborted === true) return Promise.resolve();
  const done = () => {
    timer[Symbol.dispose]();
    signal?.removeEventListener("abort", done);
    resolve();
  };
  const timer = clock.after(Math.max(0, ms), done);
  signal?.addEventListener("abort", done, { once: true });
  return promise;
}

/** Waits longer and longer, each time somewhat less or more than the others would. */
export class Backoff {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #minMs: number;
  readonly #maxMs: number;
  #nextMs: number;

  constructor(options: { clock: Clock; random: Random; minMs: number; maxMs: number }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#minMs = options.minMs;
    this.#maxMs = options.maxMs;
    this.#nextMs = options.minMs;
  }

  reset(): void {
    this.#nextMs = this.#minMs;
  }

  async wait(signal?: AbortSignal): Promise<void> {
    const ms = this.#nextMs * (0.75 + this.#random.below(501) / 1_000);
    this.#nextMs = Math.min(this.#maxMs, 2 * this.#nextMs);
    await pause(this.#clock, ms, signal);
  }
}
