import type { Clock, LeaseId, Logger } from "@keelson/types";
import { LocksmithError } from "./core/errors.ts";
import type { LockStore } from "./store/port.ts";

export interface KeptLeaseOptions {
  readonly store: LockStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

const RENEWALS_PER_TTL = 3;
const RETRY_MS_MAX = 10_000;
/** Two clocks of one cluster run as fast as each other but for this part: 1 %. Crystals differ by less than 0.1 %. */
const DRIFT = 0.01;

/**
 * A lease that is renewed until it is let go of. `isAlive` errs on the safe side: it counts from the sending of the last
 * renewal that was answered, by a clock that may be slow, so it is over here before it is over in the store.
 */
export class KeptLease {
  readonly id: LeaseId;
  readonly #options: KeptLeaseOptions;
  readonly #lost = new AbortController();
  readonly #stop = new AbortController();
  #ttlMs: number;
  #deadlineMs: number;
  #renewal: Disposable | undefined;
  #expiry: Disposable | undefined;

  private constructor(id: LeaseId, ttlS: number, sentMs: number, options: KeptLeaseOptions) {
    this.id = id;
    this.#options = options;
    this.#ttlMs = ttlS * 1_000;
    this.#deadlineMs = this.#deadlineOf(sentMs);
    this.#arm();
  }

  /** A new lease. */
  static async grant(ttlS: number, options: KeptLeaseOptions, signal?: AbortSignal): Promise<KeptLease> {
    const sentMs = options.clock.monotonicMs();
    const granted = await options.store.grant(ttlS, signal);
    return new KeptLease(granted.id, granted.ttlS, sentMs, options);
  }

  /** A lease of an earlier life of this machine; undefined when it has ended. */
  static async adopt(id: LeaseId, options: KeptLeaseOptions, signal?: AbortSignal): Promise<KeptLease | undefined> {
    const sentMs = options.clock.monotonicMs();
    const ttlS = await options.store.keepAlive(id, signal);
    return ttlS > 0 ? new KeptLease(id, ttlS, sentMs, options) : undefined;
  }

  /** Aborts when the lease is over, or must be taken to be. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get isAlive(): boolean {
    return this.remainingMs() > 0;
  }

  /** Until it is over if it is not renewed any more. */
  remainingMs(): number {
    if (this.#lost.signal.aborted) return 0;
    return Math.max(0, this.#deadlineMs - this.#options.clock.monotonicMs());
  }

  /** Renews it now. False when it has ended. @throws {StoreUnavailableError} */
  async renew(signal?: AbortSignal): Promise<boolean> {
    const sentMs = this.#options.clock.monotonicMs();
    const ttlS = await this.#options.store.keepAlive(this.id, signal);
    if (this.#lost.signal.aborted) return false;
    if (ttlS <= 0) {
      this.lose("has ended in the store");
      return false;
    }
    this.#ttlMs = ttlS * 1_000;
    this.#deadlineMs = Math.max(this.#deadlineMs, this.#deadlineOf(sentMs));
    if (!this.#stop.signal.aborted) this.#arm();
    return true;
  }

  /** Stops renewing it. It lasts for its time to live, and can be adopted until then. */
  letGo(): void {
    this.#stop.abort();
    this.#renewal?.[Symbol.dispose]();
  }

  /** It is over for this machine. */
  lose(why: string): void {
    this.letGo();
    this.#expiry?.[Symbol.dispose]();
    if (this.#lost.signal.aborted) return;
    this.#lost.abort(new LocksmithError("ERR_HOLD_LOST", `lease ${this.id.toString(16)} ${why}`));
  }

  /** Ends it in the store too. @throws {StoreUnavailableError} then it ends by itself */
  async revoke(signal?: AbortSignal): Promise<void> {
    this.lose("was given back");
    await this.#options.store.revoke(this.id, signal);
  }

  #deadlineOf(sentMs: number): number {
    return sentMs + this.#ttlMs * (1 - DRIFT);
  }

  #arm(): void {
    const { clock } = this.#options;
    this.#renewal?.[Symbol.dispose]();
    this.#renewal = clock.after(this.#ttlMs / RENEWALS_PER_TTL, () => void this.#renewSoon());
    this.#armExpiry();
  }

  #armExpiry(): void {
    this.#expiry?.[Symbol.dispose]();
    this.#expiry = this.#options.clock.after(this.remainingMs(), () => {
      // A timer may be early by a little.
      if (this.isAlive) this.#armExpiry();
      else this.lose("was not renewed in time");
    });
  }

  async #renewSoon(): Promise<void> {
    try {
      await this.renew(this.#stop.signal);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      const { clock, logger } = this.#options;
      logger.debug("a lease was not renewed", { lease: this.id, remainingMs: this.remainingMs(), error });
      const retryMs = Math.min(RETRY_MS_MAX, this.#ttlMs / 10);
      this.#renewal = clock.after(retryMs, () => void this.#renewSoon());
    }
  }
}
