import type { Clock } from "@keelson/types";
import { OstreeFetchError } from "./errors.ts";

/** When a server counts as dead or too slow. Upstream: `--low-speed-limit-bytes`, `--low-speed-time-seconds`. */
export interface SpeedLimits {
  /** With no byte for so long, the connection is given up. */
  readonly idleMs: number;
  /** With fewer bytes per second than this … */
  readonly bytesPerSecondMin: number;
  /** … over so long, too. */
  readonly windowMs: number;
}

/** Measures one connection. Only the time spent waiting for the server counts, not the time its bytes wait for our disk. */
export class SpeedGuard {
  readonly clock: Clock;
  readonly limits: SpeedLimits;
  #waitedMs = 0;
  #bytes = 0;

  constructor(clock: Clock, limits: SpeedLimits) {
    this.clock = clock;
    this.limits = limits;
  }

  /** Notes a piece; false when the connection is too slow to go on. */
  isFastEnough(waitedMs: number, bytes: number): boolean {
    this.#waitedMs += waitedMs;
    this.#bytes += bytes;
    if (this.#waitedMs < this.limits.windowMs) return true;
    const isEnough = this.#bytes * 1000 >= this.limits.bytesPerSecondMin * this.#waitedMs;
    this.#waitedMs = 0;
    this.#bytes = 0;
    return isEnough;
  }
}

/** The next piece of a body, within the limits. */
export async function nextChunk(
  source: AsyncIterator<Uint8Array>,
  url: string,
  guard: SpeedGuard,
): Promise<IteratorResult<Uint8Array>> {
  const { clock, limits } = guard;
  const startMs = clock.monotonicMs();
  const idle = Promise.withResolvers<never>();
  using _timer = clock.after(limits.idleMs, () =>
    idle.reject(new OstreeFetchError(url, "timeout", `no byte arrived for ${limits.idleMs} ms`)),
  );
  const next = await Promise.race([source.next(), idle.promise]);
  const bytes = next.done === true ? 0 : next.value.length;
  if (next.done !== true && !guard.isFastEnough(clock.monotonicMs() - startMs, bytes)) {
    const least = `${limits.bytesPerSecondMin} bytes per second over ${limits.windowMs} ms`;
    throw new OstreeFetchError(url, "too-slow", `it came more slowly than ${least}`);
  }
  return next;
}
