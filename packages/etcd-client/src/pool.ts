import type { Channel } from "@keelson/grpc";
import { Status } from "@keelson/grpc";
import type { Clock, Random } from "@keelson/types";
import { type ParsedEndpoint, parseEndpoint } from "./endpoint.ts";
import { EtcdError } from "./errors.ts";

/** One server with its connection. */
export interface Endpoint extends ParsedEndpoint {
  readonly channel: Channel;
}

interface Entry extends Endpoint {
  /** Monotonic milliseconds; not the first choice before. */
  blockedUntilMs: number;
  failures: number;
}

export interface PoolOptions {
  readonly endpoints: readonly string[];
  readonly connect: (endpoint: ParsedEndpoint) => Channel;
  readonly clock: Clock;
  readonly random: Random;
  readonly dialTimeoutMs: number;
}

// A second endpoint is tried in parallel when the first has not connected by then: a black hole costs this, once.
const HEAD_START_MS = 250;
const BLOCK_MIN_MS = 200;
const BLOCK_MAX_MS = 5_000;

/**
 * The endpoints of a cluster. Work stays on one endpoint (chosen at random, so that many clients spread) until it
 * fails; an endpoint that failed is the last choice for a while, doubling up to five seconds.
 */
export class EndpointPool {
  readonly #clock: Clock;
  readonly #dialTimeoutMs: number;
  readonly #entries: Entry[];
  #preferred: Entry | undefined;
  #closed = false;

  /** @throws {EtcdError} ERR_INVALID_ENDPOINT */
  constructor(options: PoolOptions) {
    if (options.endpoints.length === 0) throw new EtcdError("ERR_INVALID_ENDPOINT", "no etcd endpoint is given");
    this.#clock = options.clock;
    this.#dialTimeoutMs = options.dialTimeoutMs;
    const parsed = [...new Set(options.endpoints)].map(parseEndpoint);
    this.#entries = parsed.map((p) => ({ ...p, channel: options.connect(p), blockedUntilMs: 0, failures: 0 }));
    this.#preferred = this.#entries[options.random.below(this.#entries.length)];
  }

  get size(): number {
    return this.#entries.length;
  }

  get all(): readonly Endpoint[] {
    return this.#entries;
  }

  /**
   * A connected endpoint, best first, none of `except` as long as there are others.
   * @throws {EtcdError} ERR_UNAVAILABLE when none can be reached: nothing was sent.
   */
  async pick(except: ReadonlySet<Endpoint> = new Set(), signal?: AbortSignal): Promise<Endpoint> {
    this.#checkOpen();
    const candidates = this.#ordered(except);
    const first = candidates[0];
    if (first?.channel.state() === "ready") return first;
    const found = await this.#race(candidates, signal);
    this.#checkOpen();
    if (found !== undefined) return found;
    if (signal?.aborted === true) throw canceled(signal);
    throw new EtcdError(
      "ERR_UNAVAILABLE",
      `none of the etcd endpoints can be reached: ${this.#entries.map((e) => e.url).join(", ")}`,
      { status: Status.UNAVAILABLE },
    );
  }

  /** The best endpoint if it is connected, without waiting. */
  connected(except: ReadonlySet<Endpoint>): Endpoint | undefined {
    this.#checkOpen();
    const preferred = this.#preferred;
    const first = preferred !== undefined && !except.has(preferred) ? preferred : this.#ordered(except)[0];
    return first?.channel.state() === "ready" ? first : undefined;
  }

  /** The endpoint did not do its work: others come first for a while. */
  failed(endpoint: Endpoint): void {
    const entry = this.#entries.find((e) => e === endpoint);
    if (entry === undefined) return;
    entry.failures++;
    const blockMs = Math.min(BLOCK_MAX_MS, BLOCK_MIN_MS * 2 ** Math.min(entry.failures - 1, 10));
    entry.blockedUntilMs = this.#clock.monotonicMs() + blockMs;
    if (this.#preferred === entry) this.#preferred = undefined;
  }

  /** The endpoint did its work. */
  worked(endpoint: Endpoint): void {
    const entry = this.#entries.find((e) => e === endpoint);
    if (entry === undefined) return;
    entry.failures = 0;
    entry.blockedUntilMs = 0;
    this.#preferred ??= entry;
  }

  close(): void {
    this.#closed = true;
    for (const { channel } of this.#entries) channel.close();
  }

  #checkOpen(): void {
    if (this.#closed)
      throw new EtcdError("ERR_CLIENT_CLOSED", "the etcd client is closed", { status: Status.CANCELLED });
  }

  #ordered(except: ReadonlySet<Endpoint>): Entry[] {
    const now = this.#clock.monotonicMs();
    const rank = (e: Entry): number =>
      (except.has(e) ? 4 : 0) + (e.blockedUntilMs > now ? 2 : 0) + (e === this.#preferred ? 0 : 1);
    return this.#entries.toSorted((a, b) => rank(a) - rank(b) || a.blockedUntilMs - b.blockedUntilMs);
  }

  /** Connects one after the other with a head start each; the first that is ready wins. */
  #race(candidates: readonly Entry[], signal: AbortSignal | undefined): Promise<Entry | undefined> {
    return new Promise((resolve) => {
      let pending = candidates.length;
      let next = 0;
      let timer: Disposable | undefined;
      const finish = (entry: Entry | undefined) => {
        timer?.[Symbol.dispose]();
        signal?.removeEventListener("abort", onAbort);
        next = candidates.length;
        resolve(entry);
      };
      const onAbort = () => finish(undefined);
      const startNext = () => {
        timer?.[Symbol.dispose]();
        const entry = candidates[next++];
        if (entry === undefined) return;
        timer = this.#clock.after(HEAD_START_MS, startNext);
        void entry.channel.connect(this.#dialTimeoutMs).then((ready) => {
          if (ready) return finish(entry);
          this.failed(entry);
          if (--pending === 0) finish(undefined);
          else startNext();
        });
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      if (signal?.aborted === true) onAbort();
      else startNext();
    });
  }
}

/** The error of a call whose caller gave up. */
export function canceled(signal: AbortSignal): EtcdError {
  const timeout = signal.reason instanceof DOMException && signal.reason.name === "TimeoutError";
  return timeout
    ? new EtcdError("ERR_DEADLINE_EXCEEDED", "context deadline exceeded", { status: Status.DEADLINE_EXCEEDED })
    : new EtcdError("ERR_CANCELED", "context canceled", { status: Status.CANCELLED, cause: signal.reason });
}
