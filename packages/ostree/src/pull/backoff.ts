import type { Clock } from "@keelson/types";

/** The longest wait between two tries, ms. */
export const RETRY_DELAY_MAX_MS = 10_000;

/** How long to wait before try number `attempt` (the first retry is 1): doubling, with an upper bound. */
export function retryDelayMs(attempt: number, baseMs: number): number {
  return Math.min(RETRY_DELAY_MAX_MS, baseMs * 2 ** Math.min(attempt - 1, 20));
}

/** Waits on the port. Rejects with the signal's reason when it is aborted. */
export async function wait(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  using _timer = clock.after(delayMs, resolve);
  try {
    await promise;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
