import { formatErrorChain } from "@keelson/types";
import { ClusterError } from "./errors.ts";

/**
 * Waits until `probe` returns something other than undefined or false, and returns it. A probe that throws has not
 * succeeded yet; its last error is the cause of the failure when the time is over.
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: { timeoutMs: number; signal?: AbortSignal | undefined; everyMs?: number },
): Promise<T> {
  const startedMs = performance.now();
  let lastError: unknown;
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    const tookMs = performance.now() - startedMs;
    if (tookMs >= options.timeoutMs) {
      const why = lastError === undefined ? "" : ` (last: ${formatErrorChain(lastError)})`;
      throw new ClusterError(
        `${what} did not happen within ${options.timeoutMs / 1000} s${why}`,
        {},
        { cause: lastError },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, options.everyMs ?? 50));
  }
}
