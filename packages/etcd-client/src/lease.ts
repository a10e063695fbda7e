import { Lease as LeaseService } from "@keelson/proto";
import type { Clock, LeaseId } from "@keelson/types";
import type { Caller } from "./caller.ts";
import { EtcdError, LeaseLostError } from "./errors.ts";
import type { KeepAliver } from "./keep-aliver.ts";
import type { CallLimits, Lease, LeaseClient, LeaseInfo } from "./types.ts";

/** A lease of ours: when it ends by our own clock, and the signal that says so. */
export class HeldLease implements Lease {
  readonly id: LeaseId;
  readonly ttl: number;
  readonly #clock: Clock;
  readonly #revoke: (limits?: CallLimits) => Promise<void>;
  readonly #abort = new AbortController();
  #deadlineMs: number;
  #timer: Disposable;

  constructor(
    id: LeaseId,
    ttl: number,
    sentMs: number,
    clock: Clock,
    revoke: (lease: HeldLease, limits?: CallLimits) => Promise<void>,
  ) {
    this.id = id;
    this.ttl = ttl;
    this.#clock = clock;
    this.#revoke = (limits) => revoke(this, limits);
    this.#deadlineMs = sentMs + ttl * 1_000;
    this.#timer = this.#arm();
  }

  get lost(): AbortSignal {
    return this.#abort.signal;
  }

  remainingMs(): number {
    return this.#abort.signal.aborted ? 0 : Math.max(0, this.#deadlineMs - this.#clock.monotonicMs());
  }

  /** A server renewed it for `ttlS`; the request left at `sentMs`, so the server's clock cannot have started earlier. */
  renewed(sentMs: number, ttlS: number): void {
    if (this.#abort.signal.aborted) return;
    this.#deadlineMs = Math.max(this.#deadlineMs, sentMs + ttlS * 1_000);
    this.#timer[Symbol.dispose]();
    this.#timer = this.#arm();
  }

  lose(why: "expired" | "revoked" | "closed" | "gone"): void {
    this.#timer[Symbol.dispose]();
    if (!this.#abort.signal.aborted) this.#abort.abort(new LeaseLostError(this.id, why));
  }

  revoke(limits?: CallLimits): Promise<void> {
    return this.#revoke(limits);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What cannot be revoked now expires by itself.
    await this.revoke().catch(() => undefined);
  }

  #arm(): Disposable {
    return this.#clock.after(Math.max(0, this.#deadlineMs - this.#clock.monotonicMs()), () => {
      if (this.remainingMs() <= 0) this.lose("expired");
      else this.#timer = this.#arm();
    });
  }
}

/** The lease API: grants, one-off calls, and the handing over of leases to the keep-aliver. */
export class Leases implements LeaseClient {
  readonly #caller: Caller;
  readonly #keepAliver: KeepAliver;
  readonly #clock: Clock;

  constructor(caller: Caller, keepAliver: KeepAliver, clock: Clock) {
    this.#caller = caller;
    this.#keepAliver = keepAliver;
    this.#clock = clock;
  }

  async grant(
    ttlS: number,
    options: CallLimits & { readonly id?: LeaseId; readonly keepAlive?: boolean } = {},
  ): Promise<Lease> {
    const sentMs = this.#clock.monotonicMs();
    const request = { TTL: BigInt(Math.ceil(ttlS)), ID: options.id ?? 0n };
    const reply = await this.#caller.unary("write", LeaseService.method.leaseGrant, request, options);
    if (reply.error !== "") throw new EtcdError("ERR_RPC", reply.error);
    const lease = new HeldLease(reply.ID, Number(reply.TTL), sentMs, this.#clock, (held, limits) =>
      this.#revokeHeld(held, limits),
    );
    if (options.keepAlive !== false) this.#keepAliver.add(lease);
    return lease;
  }

  async revoke(id: LeaseId, limits: CallLimits = {}): Promise<void> {
    await this.#caller.unary("write", LeaseService.method.leaseRevoke, { ID: id }, limits);
  }

  keepAliveOnce(id: LeaseId, limits: CallLimits = {}): Promise<number> {
    return this.#keepAliver.once(id, limits);
  }

  async timeToLive(id: LeaseId, options: CallLimits & { readonly keys?: boolean } = {}): Promise<LeaseInfo> {
    const request = { ID: id, keys: options.keys === true };
    const reply = await this.#caller.unary("read", LeaseService.method.leaseTimeToLive, request, options);
    return { id: reply.ID, ttl: Number(reply.TTL), grantedTtl: Number(reply.grantedTTL), keys: reply.keys };
  }

  async list(limits: CallLimits = {}): Promise<readonly LeaseId[]> {
    const reply = await this.#caller.unary("read", LeaseService.method.leaseLeases, {}, limits);
    return reply.leases.map((lease) => lease.ID);
  }

  async #revokeHeld(lease: HeldLease, limits: CallLimits = {}): Promise<void> {
    this.#keepAliver.remove(lease);
    if (lease.lost.aborted) return;
    try {
      await this.revoke(lease.id, limits);
    } catch (error) {
      if (!(error instanceof EtcdError && error.code === "ERR_LEASE_NOT_FOUND")) {
        // Unknown or failed: nobody renews it any more, so it ends by its deadline at the latest.
        throw error;
      }
    }
    lease.lose("revoked");
  }
}
