import type { Clock, Random } from "@keelson/types";

export interface BackoffOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly minMs: number;
  readonly maxMs: number;
}

/** Waits between attempts: doubling, with half of it at random so that many clients do not come back as one. */
export class Backoff {
  readonly #options: BackoffOptions;
  #attempts = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** The last attempt worked. */
  reset(): void {
    this.#attempts = 0;
  }

  nextMs(): number {
    const { minMs, maxMs, random } = this.#options;
    const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(this.#attempts++, 16));
    return ceiling / 2 + random.below(Math.max(1, Math.ceil(ceiling / 2)));
  }

  /** Resolves after the next wait, or at once when `signal` fires. */
  wait(signal?: AbortSignal): Promise<void> {
    return sleep(this.#options.clock, this.nextMs(), signal);
  }
}

/** Resolves after `ms`, or at once when `signal` fires. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      timer[Symbol.dispose]();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.after(ms, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}
