import { LocksmithError } from "./core/errors.ts";
import { planNote, planRelease } from "./core/plan.ts";
import type { HoldRecord } from "./core/record.ts";
import type { GroupStore } from "./group-store.ts";
import type { KeptLease } from "./kept-lease.ts";
import { StoreUnavailableError } from "./store/port.ts";
import { Backoff } from "./wait.ts";

const NEVER = new AbortController().signal;

/**
 * A slot that this machine holds. It *believes* so, `isHeld`, from the answer that gave it the slot until it begins to
 * give it back, or until its lease would have ended in the store by this machine's own clock, counted from the sending
 * of the last renewal that was answered and less a hundredth; whichever is first. The store takes the slot from a holder only when
 * the lease has ended there, which is later: so no two machines believe to hold one slot. Somebody may take it away by hand
 * (`locksmithctl unlock`): {@link confirm} sees that, and is due before the machine goes down.
 */
export class Hold {
  readonly id: string;
  readonly record: HoldRecord;
  readonly #store: GroupStore;
  readonly #lease: KeptLease | undefined;
  #isReleased = false;

  constructor(store: GroupStore, record: HoldRecord, lease: KeptLease | undefined) {
    this.#store = store;
    this.id = record.id;
    this.record = record;
    this.#lease = lease;
  }

  /** In hex; undefined for a hold that ends by hand only. */
  get lease(): string | undefined {
    return this.#lease?.id.toString(16);
  }

  get isHeld(): boolean {
    return !this.#isReleased && (this.#lease?.isAlive ?? true);
  }

  /** Until the lease is over if it is not renewed any more; infinite without one. */
  get remainingMs(): number {
    return this.#lease?.remainingMs() ?? Number.POSITIVE_INFINITY;
  }

  /** Aborts when the hold is over, or must be taken to be. */
  get lost(): AbortSignal {
    return this.#lease?.lost ?? NEVER;
  }

  /**
   * Asks the store whether this machine holds, and renews the lease, so that all its time is left for a reboot. False:
   * it does not. @throws {StoreUnavailableError} nobody knows
   */
  async confirm(signal?: AbortSignal): Promise<boolean> {
    if (this.#isReleased) return false;
    if (this.#lease !== undefined && !(await this.#lease.renew(signal))) return false;
    const holder = (await this.#store.read(signal)).holders.find(({ id }) => id === this.id);
    const isOurs = this.#lease === undefined ? holder !== undefined : holder?.lease === this.#lease.id;
    if (!isOurs) this.#lease?.lose("is not that of the holder any more: somebody gave the slot back");
    return isOurs && this.isHeld;
  }

  /**
   * {@link confirm}, and says in the store that the machine goes down now: if it does not come back, its version is denied to
   * all, and its slot given on. @throws {StoreUnavailableError} nobody knows
   */
  async announce(signal?: AbortSignal): Promise<boolean> {
    const record = { ...this.record, isGoingDown: true };
    for (;;) {
      if (!(await this.confirm(signal))) return false;
      const state = await this.#store.read(signal);
      // Compares the lease: whoever has taken the slot since is not written over.
      const plan = planNote(this.#store.group, state, { record, lease: this.#lease?.id, member: undefined });
      const outcome = await this.#store.commit(plan, signal);
      if (outcome === "unknown") throw new StoreUnavailableError("etcd has not answered", true);
      if (outcome === "done") return this.isHeld;
    }
  }

  /** Stops renewing the lease, for a machine that goes down: `Semaphore.resume` finds the hold again. */
  letGo(): void {
    this.#lease?.letGo();
  }

  /**
   * Gives the slot back, trying until that is certain. `not-held`: it was not held any more.
   *
   * @throws the signal's reason; then the slot comes back when the lease ends
   */
  async release(signal?: AbortSignal): Promise<"released" | "not-held"> {
    this.#isReleased = true; // before the first attempt: it may be applied at any time from now on
    const { clock, random, logger } = this.#store.context;
    const backoff = new Backoff({ clock, random, minMs: 500, maxMs: 30_000 });
    for (let attempts = 0; ; attempts++) {
      signal?.throwIfAborted();
      try {
        const ended = await this.#tryRelease(attempts > 0, signal);
        if (ended === undefined) continue;
        await this.#endLease(signal);
        return ended;
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof StoreUnavailableError)) throw error;
        logger.warn("the reboot lock was not given back yet", { holder: this.id, error });
      }
      await backoff.wait(signal);
    }
  }

  async #tryRelease(isRepeated: boolean, signal?: AbortSignal): Promise<"released" | "not-held" | undefined> {
    const state = await this.#store.read(signal);
    const holder = state.holders.find(({ id }) => id === this.id);
    const isOurs = holder !== undefined && (holder.lease === 0n || holder.lease === (this.#lease?.id ?? 0n));
    // After an attempt whose outcome was unknown: it was applied.
    if (!isOurs) return isRepeated ? "released" : "not-held";
    const outcome = await this.#store.commit(planRelease(this.#store.group, state, this.id, holder.lease), signal);
    if (outcome === "unknown") throw new StoreUnavailableError("etcd has not answered", true);
    return outcome === "done" ? "released" : undefined;
  }

  async #endLease(signal?: AbortSignal): Promise<void> {
    // Its key is gone; a lease that cannot be revoked ends by itself.
    await this.#lease?.revoke(signal).catch(() => {});
  }

  /** @throws {LocksmithError} ERR_HOLD_LOST */
  assertHeld(): void {
    if (!this.isHeld)
      throw new LocksmithError("ERR_HOLD_LOST", "the reboot lock is not held any more", { id: this.id });
  }
}
