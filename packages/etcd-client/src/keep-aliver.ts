import type { BidiCall } from "@keelson/grpc";
import { Status } from "@keelson/grpc";
import {
  type LeaseKeepAliveRequestSchema,
  type LeaseKeepAliveResponse,
  type LeaseKeepAliveResponseSchema,
  Lease as LeaseService,
} from "@keelson/proto";
import type { Clock, LeaseId, Logger } from "@keelson/types";
import type { Backoff } from "./backoff.ts";
import type { Caller } from "./caller.ts";
import { EtcdError, toEtcdError } from "./errors.ts";
import type { HeldLease } from "./lease.ts";
import type { Endpoint } from "./pool.ts";
import type { CallLimits } from "./types.ts";

type Call = BidiCall<typeof LeaseKeepAliveRequestSchema, typeof LeaseKeepAliveResponseSchema>;

interface Entry {
  readonly lease: HeldLease;
  /** When the unanswered requests on the present stream left, oldest first. */
  sentMs: number[];
  nextMs: number;
}

const TICK_MS = 100;
const ANSWER_MAX_MS = 2_000;

/**
 * Renews all leases of a client over one stream, each every third of its time to live. A server that does not answer is
 * left for another one early enough that two more tries fit before the lease would end.
 */
export class KeepAliver {
  readonly #caller: Caller;
  readonly #backoff: Backoff;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #entries = new Map<LeaseId, Entry>();
  readonly #abort = new AbortController();
  #call: Call | undefined;
  #timer: Disposable | undefined;
  #running = false;

  constructor(caller: Caller, backoff: Backoff, clock: Clock, logger: Logger) {
    this.#caller = caller;
    this.#backoff = backoff;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Renews the lease from now on, until it is removed or lost. */
  add(lease: HeldLease): void {
    if (this.#abort.signal.aborted) return lease.lose("closed");
    this.#entries.set(lease.id, { lease, sentMs: [], nextMs: this.#clock.monotonicMs() + periodMs(lease) });
    lease.lost.addEventListener("abort", () => this.remove(lease), { once: true });
    this.#timer ??= this.#clock.every(TICK_MS, () => this.#tick());
    if (!this.#running) void this.#run();
  }

  remove(lease: HeldLease): void {
    this.#entries.delete(lease.id);
    if (this.#entries.size > 0) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#call?.cancel();
  }

  /** One renewal of any lease, on a stream of its own. Resolves with seconds; 0 when there is no such lease. */
  async once(id: LeaseId, limits: CallLimits): Promise<number> {
    const endpoint = await this.#caller.pool.pick(new Set(), limits.signal);
    const metadata = await this.#caller.metadata(endpoint);
    const call = endpoint.channel.bidi(LeaseService.method.leaseKeepAlive, {
      metadata,
      timeoutMs: limits.timeoutMs ?? 5_000,
      ...(limits.signal === undefined ? {} : { signal: limits.signal }),
    });
    try {
      await call.send({ ID: id });
      const step = await call.next();
      if (step.done === true) {
        throw new EtcdError("ERR_UNAVAILABLE", "the server ended the keep-alive stream", {
          status: Status.UNAVAILABLE,
        });
      }
      return Number(step.value.TTL);
    } catch (error) {
      throw toEtcdError(error, { write: true, endpoint: endpoint.url });
    } finally {
      call.cancel();
    }
  }

  close(): void {
    this.#abort.abort();
    this.#timer?.[Symbol.dispose]();
    for (const { lease } of this.#entries.values()) lease.lose("closed");
    this.#call?.cancel();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#entries.size > 0 && !this.#abort.signal.aborted) {
      let endpoint: Endpoint | undefined;
      try {
        endpoint = await this.#caller.pool.pick(new Set(), this.#abort.signal);
        await this.#serve(endpoint);
      } catch (error) {
        this.#onStreamError(error, endpoint);
      }
      this.#call = undefined;
      for (const entry of this.#entries.values()) {
        // What was on its way may be lost: renew as soon as there is a stream again.
        if (entry.sentMs.length > 0) entry.nextMs = this.#clock.monotonicMs();
        entry.sentMs = [];
      }
      if (this.#entries.size > 0) await this.#backoff.wait(this.#abort.signal);
    }
    this.#running = false;
  }

  async #serve(endpoint: Endpoint): Promise<void> {
    const metadata = await this.#caller.metadata(endpoint, { hasleader: "true" });
    const call = endpoint.channel.bidi(LeaseService.method.leaseKeepAlive, { metadata });
    this.#call = call;
    this.#tick();
    for await (const response of call) {
      this.#onResponse(response);
      this.#backoff.reset();
      this.#caller.pool.worked(endpoint);
    }
    if (this.#entries.size > 0) this.#caller.pool.failed(endpoint);
  }

  #tick(): void {
    const call = this.#call;
    if (call === undefined) return;
    const now = this.#clock.monotonicMs();
    for (const entry of this.#entries.values()) {
      const oldest = entry.sentMs[0];
      if (oldest !== undefined && now - oldest > Math.min(ANSWER_MAX_MS, periodMs(entry.lease))) {
        this.#logger.debug("no answer to a lease renewal", { lease: entry.lease.id });
        return call.cancel(); // the loop goes on with another endpoint
      }
      if (now < entry.nextMs) continue;
      entry.nextMs = now + periodMs(entry.lease);
      entry.sentMs.push(now);
      void call.send({ ID: entry.lease.id });
    }
  }

  #onResponse(response: LeaseKeepAliveResponse): void {
    const entry = this.#entries.get(response.ID);
    const sentMs = entry?.sentMs.shift();
    if (entry === undefined || sentMs === undefined) return;
    if (response.TTL <= 0n) entry.lease.lose("gone");
    else entry.lease.renewed(sentMs, Number(response.TTL));
  }

  #onStreamError(raw: unknown, endpoint: Endpoint | undefined): void {
    if (this.#entries.size === 0 || this.#abort.signal.aborted) return;
    const error = toEtcdError(raw);
    this.#logger.debug("lease stream broke", { endpoint: endpoint?.url, leases: this.#entries.size, error });
    if (endpoint !== undefined) this.#caller.pool.failed(endpoint);
    if (error.status === Status.UNAUTHENTICATED) this.#caller.forgetToken();
  }
}

function periodMs(lease: HeldLease): number {
  return (lease.ttl * 1_000) / 3;
}
