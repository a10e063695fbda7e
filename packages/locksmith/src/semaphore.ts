import { SystemClock, SystemRandom } from "@keelson/log";
import { type Clock, type Logger, type Random, silentLogger } from "@keelson/types";
import { LocksmithError } from "./core/errors.ts";
import { type GroupState, type Holder, staleHolders } from "./core/group.ts";
import { planReap, planRelease, planSetMax } from "./core/plan.ts";
import type { QuorumVerdict } from "./core/quorum.ts";
import type { HoldRecord } from "./core/record.ts";
import { checkHolderId, freeSlots, unlockSlot } from "./core/semaphore.ts";
import type { Transaction } from "./core/txn.ts";
import { GroupStore } from "./group-store.ts";
import type { Hold } from "./hold.ts";
import { judgeQuorum, Locker, type LockOptions, type QuorumSource } from "./locker.ts";
import type { LockStore } from "./store/port.ts";
import { Backoff } from "./wait.ts";

/** Options of {@link Semaphore}. */
export interface SemaphoreOptions {
  /** `new EtcdLockStore(client)`. */
  readonly store: LockStore;
  /** Machines of one group share one semaphore. Default "": the one that upstream calls the default. */
  readonly group?: string;
  /** A hold survives its machine for so long. Default 15 minutes: a reboot with time to spare. */
  readonly holdTtlMs?: number;
  /** A place in the queue survives its machine for so long. Default 30 seconds. */
  readonly waiterTtlMs?: number;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

/** The semaphore as it is. */
export interface SemaphoreStatus {
  /** Free slots; negative when the maximum was lowered below the number of holders. */
  readonly available: number;
  readonly max: number;
  readonly holders: readonly HolderStatus[];
  /** Who waits, the next one first. */
  readonly waiters: readonly {
    readonly id: string;
    readonly machine: string | undefined;
    readonly sinceMs: number | undefined;
  }[];
}

export interface HolderStatus {
  readonly id: string;
  /** `alive`, `stale`: its lease has ended, or `manual`: it never had one. */
  readonly kind: Holder["kind"];
  readonly record: HoldRecord | undefined;
}

const ATTEMPTS_MAX = 20;

/**
 * The cluster-wide reboot semaphore: locksmith's JSON in etcd v3, with a fair queue, and holds that end when their machine
 * is gone. Every change is one compared transaction; one whose outcome is unknown is found out by reading before anything
 * else happens.
 */
export class Semaphore {
  readonly #store: GroupStore;

  constructor(options: SemaphoreOptions) {
    this.#store = new GroupStore({
      store: options.store,
      clock: options.clock ?? new SystemClock(),
      random: options.random ?? new SystemRandom(),
      logger: options.logger ?? silentLogger,
      group: options.group ?? "",
      holdTtlMs: options.holdTtlMs ?? 15 * 60_000,
      waiterTtlMs: options.waiterTtlMs ?? 30_000,
    });
  }

  get group(): string {
    return this.#store.group.name;
  }

  /** Changes nothing. @throws {StoreUnavailableError} */
  async status(signal?: AbortSignal): Promise<SemaphoreStatus> {
    const { semaphore, holders, waiters } = await this.#store.read(signal);
    return {
      available: freeSlots(semaphore),
      max: semaphore.max,
      holders: holders.map(({ id, kind, record }) => ({ id, kind, record })),
      waiters: waiters.map(({ id, record }) => ({ id, machine: record?.machine, sinceMs: record?.sinceMs })),
    };
  }

  /**
   * Takes a slot for `id`, which may be a holder already (FleetLock's RecursiveLock). Waits in the queue with `wait`; without,
   * throws upstream's `semaphore is at 0`.
   *
   * @throws {LocksmithError} ERR_SEMAPHORE_FULL, ERR_QUORUM, ERR_INVALID_HOLDER, ERR_QUEUE_FULL, ERR_CONTENDED,
   * ERR_STORE_UNAVAILABLE; the signal's reason
   */
  async lock(id: string, options: LockOptions = {}): Promise<Hold> {
    checkHolderId(id);
    return await new Locker(this.#store, id, options).run();
  }

  /**
   * The hold of an earlier life of this machine, kept alive again; undefined when it holds none. Also when its lease has
   * ended but nobody has taken the slot yet.
   *
   * @throws {StoreUnavailableError}
   */
  async resume(id: string, signal?: AbortSignal): Promise<Hold | undefined> {
    checkHolderId(id);
    const holder = (await this.#store.read(signal)).holders.find((h) => h.id === id);
    if (holder === undefined) return undefined;
    const { machine, version, reason } = holder.record ?? {};
    try {
      return await new Locker(this.#store, id, { machine, version, reason, signal }, true).run();
    } catch (error) {
      if (error instanceof LocksmithError && error.code === "ERR_HOLD_LOST") return undefined;
      throw error;
    }
  }

  /** Gives a slot back, whoever holds it. @throws {LocksmithError} ERR_HOLDER_MISSING, with upstream's text */
  async unlock(id: string, signal?: AbortSignal): Promise<void> {
    let lease = 0n;
    await this.#change((state, isRepeated) => {
      const holder = state.holders.find((h) => h.id === id);
      if (holder !== undefined) {
        lease = holder.lease;
        return planRelease(this.#store.group, state, id);
      }
      const refusal = unlockSlot(state.semaphore, id);
      if (!refusal.ok && !isRepeated) throw new LocksmithError(refusal.code, refusal.reason);
      return undefined;
    }, signal);
    // The holder learns of it at its next renewal, if not before.
    if (lease !== 0n) await this.#store.context.store.revoke(lease, signal).catch(() => {});
  }

  /** Changes the number of slots, now, whoever holds them. @throws {LocksmithError} ERR_INVALID_MAX */
  async setMax(max: number, signal?: AbortSignal): Promise<{ readonly oldMax: number; readonly max: number }> {
    let oldMax: number | undefined;
    await this.#change((state) => {
      oldMax ??= state.semaphore.max;
      const isDone = state.semaphore.max === max && state.semaphoreRevision !== 0;
      const plan = planSetMax(this.#store.group, state, max);
      return isDone ? undefined : plan;
    }, signal);
    return { oldMax: oldMax ?? max, max };
  }

  /**
   * Gives on the slots of holders whose leases have ended, and denies the versions they were to reboot into. Machines that
   * wait do so by themselves.
   */
  async reap(by: string, signal?: AbortSignal): Promise<readonly HolderStatus[]> {
    const reaped = new Map<string, HolderStatus>();
    await this.#change((state) => {
      const holder = staleHolders(state)[0];
      if (holder === undefined) return undefined;
      reaped.set(holder.id, { id: holder.id, kind: holder.kind, record: holder.record });
      return planReap(this.#store.group, state, holder, { by, nowMs: this.#store.context.clock.wallMs() });
    }, signal);
    return [...reaped.values()];
  }

  /** Whether etcd's majority survives when the machine `id` goes down now. @throws {StoreUnavailableError} */
  async judge(
    id: string,
    quorum: QuorumSource,
    options: { readonly mayLoseQuorum?: boolean; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<QuorumVerdict> {
    const state = await this.#store.read(options.signal);
    return judgeQuorum(this.group, state, id, await quorum.look(options.signal), options.mayLoseQuorum);
  }

  /** Commits what `plan` says until it says undefined: then what was to be has come to be. */
  async #change(
    plan: (state: GroupState, isRepeated: boolean) => Transaction | undefined,
    signal?: AbortSignal,
  ): Promise<void> {
    const { clock, random } = this.#store.context;
    const backoff = new Backoff({ clock, random, minMs: 20, maxMs: 2_000 });
    for (let attempt = 0, isRepeated = false; attempt < ATTEMPTS_MAX; attempt++) {
      signal?.throwIfAborted();
      const transaction = plan(await this.#store.read(signal), isRepeated);
      if (transaction === undefined) return;
      const outcome = await this.#store.commit(transaction, signal);
      isRepeated ||= outcome !== "conflict";
      if (outcome !== "done") await backoff.wait(signal);
    }
    throw contended();
  }
}

function contended(): LocksmithError {
  return new LocksmithError("ERR_CONTENDED", `others were faster ${ATTEMPTS_MAX} times: try again`);
}
