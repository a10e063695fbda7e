import { setTimeout as sleep } from "node:timers/promises";
import { TimeoutError } from "./errors.ts";

/** Options of {@link eventually}. */
export interface EventuallyOptions {
  /** How long to try. Default 10 s. */
  readonly timeoutMs?: number;
  /** The first pause between tries; it doubles up to 250 ms. Default 5. */
  readonly pauseMs?: number;
  /** What is waited for, for the error's text. */
  readonly what?: string;
}

const PAUSE_MAX_MS = 250;

/**
 * Waits until `check` gives something other than `false`, `undefined` or `null`, and returns it. A check that throws
 * (a failed `expect`, say) is tried again; the last error becomes the cause of the {@link TimeoutError}.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<Exclude<T, false | undefined | null>> {
  const timeoutMs = options.timeoutMs ?? 10_000;
  const deadlineMs = performance.now() + timeoutMs;
  let pauseMs = options.pauseMs ?? 5;
  for (;;) {
    let failure: unknown;
    try {
      const value = await check();
      if (value !== false && value !== undefined && value !== null)
        return value as Exclude<T, false | undefined | null>;
    } catch (error) {
      failure = error;
    }
    if (performance.now() + pauseMs > deadlineMs) {
      const what = options.what ?? "the condition";
      throw new TimeoutError(`${what} did not come true within ${timeoutMs} ms`, { timeoutMs }, { cause: failure });
    }
    await sleep(pauseMs);
    pauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS);
  }
}
