import { LocksmithError } from "./core/errors.ts";
import { decideTake, type GroupState, type Holder, staleHolders } from "./core/group.ts";
import { keyOf } from "./core/keys.ts";
import { othersLeaving, planAdopt, planEnqueue, planNote, planReap, planTake, planWithdraw } from "./core/plan.ts";
import { type MemberHealth, mayGoDown, type QuorumVerdict } from "./core/quorum.ts";
import type { HoldRecord } from "./core/record.ts";
import type { Transaction } from "./core/txn.ts";
import type { GroupStore } from "./group-store.ts";
import { Hold } from "./hold.ts";
import { KeptLease } from "./kept-lease.ts";
import { StoreUnavailableError } from "./store/port.ts";
import { Backoff } from "./wait.ts";

/** Tells how the members of the etcd cluster are. */
export interface QuorumSource {
  /** Asks them now. @throws when that cannot be found out */
  look(signal?: AbortSignal): Promise<{ readonly members: readonly MemberHealth[]; readonly self: string | undefined }>;
}

/** Options of `Semaphore.lock`. */
export interface LockOptions {
  /** The machine's name, for people. */
  readonly machine?: string | undefined;
  /** The version that the machine reboots into. It is denied to all when the machine does not come back. */
  readonly version?: string | undefined;
  readonly reason?: string | undefined;
  /** Queue up until there is a slot, through all outages. Default: throw when there is none. */
  readonly wait?: boolean;
  /** `manual`: without a lease, until somebody unlocks it, as upstream's. Default `leased`. */
  readonly kind?: "leased" | "manual";
  /** Refuse, or wait, as long as etcd's majority would not survive this machine. */
  readonly quorum?: QuorumSource | undefined;
  /** See {@link mayGoDown}. */
  readonly mayLoseQuorum?: boolean | undefined;
  /** Ends the waiting with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Why it waits, each time that changes. `error`: etcd does not answer. */
  readonly onWait?: ((reason: string, error?: unknown) => void) | undefined;
}

const WAITERS_MAX = 10_000;
/** A watch tells when there is something to do; this is for what it cannot tell. */
const LOOK_AGAIN_MS = 60_000;
const CONFLICTS_MAX = 50;

/** One machine's attempt to get a slot, from the first read to the hold. */
export class Locker {
  readonly #store: GroupStore;
  readonly #options: LockOptions;
  readonly #isResuming: boolean;
  readonly #record: HoldRecord;
  readonly #backoff: Backoff;
  readonly #quorumBackoff: Backoff;
  readonly #conflictBackoff: Backoff;
  /** Of our place in the queue. */
  #place: KeptLease | undefined;
  /** Of the hold to be: made before the first attempt to take, and ended when we give up, so that none comes late. */
  #lease: KeptLease | undefined;
  #lastWait: string | undefined;
  #conflicts = 0;

  /** @param isResuming Take no slot that is not held yet: throw ERR_HOLD_LOST instead. */
  constructor(store: GroupStore, id: string, options: LockOptions, isResuming = false) {
    const { clock, random } = store.context;
    const { machine, version, reason } = options;
    this.#store = store;
    this.#options = options;
    this.#isResuming = isResuming;
    this.#record = {
      id,
      sinceMs: clock.wallMs(),
      ...(machine === undefined ? {} : { machine }),
      ...(version === undefined ? {} : { version }),
      ...(reason === undefined ? {} : { reason }),
    };
    this.#backoff = new Backoff({ clock, random, minMs: 500, maxMs: 30_000 });
    this.#conflictBackoff = new Backoff({ clock, random, minMs: 5, maxMs: 1_000 });
    this.#quorumBackoff = new Backoff({ clock, random, minMs: 2_000, maxMs: 30_000 });
  }

  /** @throws {LocksmithError} ERR_SEMAPHORE_FULL, ERR_QUORUM, … without `wait` */
  async run(): Promise<Hold> {
    try {
      for (;;) {
        this.#options.signal?.throwIfAborted();
        const hold = await this.#attempt();
        if (hold !== undefined) {
          this.#lease = undefined; // it is the hold's now
          return hold;
        }
      }
    } finally {
      await this.#cleanUp();
    }
  }

  async #attempt(): Promise<Hold | undefined> {
    const { signal } = this.#options;
    try {
      const state = await this.#store.read(signal);
      const hold = await this.#step(state);
      this.#backoff.reset();
      return hold;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof LocksmithError && error.code === "ERR_LEASE_GONE") {
        this.#forgetLeases();
        this.#conflict();
        return undefined;
      }
      const isTrouble = error instanceof StoreUnavailableError;
      if (!isTrouble || (this.#options.wait !== true && !error.isOutcomeUnknown)) throw error;
      this.#conflict();
      this.#tell("etcd does not answer", error);
      await this.#backoff.wait(signal);
      return undefined;
    }
  }

  async #step(state: GroupState): Promise<Hold | undefined> {
    const { id } = this.#record;
    const stale = staleHolders(state).find((holder) => holder.id !== id);
    if (stale !== undefined) return await this.#reap(state, stale);
    const decision = decideTake(state, id);
    if (decision.action === "held") return await this.#holdAgain(state, decision.holder);
    if (this.#isResuming) throw new LocksmithError("ERR_HOLD_LOST", "the slot has been given on", { id });
    if (decision.action === "take") return await this.#take(state);
    if (this.#options.wait !== true) throw new LocksmithError("ERR_SEMAPHORE_FULL", decision.reason);
    await this.#wait(state, decision.reason);
    return undefined;
  }

  async #reap(state: GroupState, stale: Holder): Promise<undefined> {
    const { clock, logger } = this.#store.context;
    const at = { by: this.#record.machine ?? this.#record.id, nowMs: clock.wallMs() };
    const outcome = await this.#commit(planReap(this.#store.group, state, stale, at));
    if (outcome === "done") logger.warn("the slot of a dead holder was given on", { holder: stale.id });
    return undefined; // whatever it was: look again
  }

  /** The machine holds already: it locks again, in this or an earlier life. */
  async #holdAgain(state: GroupState, holder: Holder): Promise<Hold | undefined> {
    const { group } = this.#store;
    if (this.#options.kind === "manual") return new Hold(this.#store, holder.record ?? this.#record, undefined);
    const member = (await this.#options.quorum?.look(this.#options.signal))?.self;
    const record = this.#recordAgain(holder.record);
    if (holder.kind !== "alive") {
      const lease = await this.#holdLease();
      const outcome = await this.#commit(planAdopt(group, state, { record, lease: lease.id, member }));
      return outcome === "done" ? new Hold(this.#store, record, lease) : undefined;
    }
    const isOurs = holder.lease === this.#lease?.id;
    const lease = isOurs ? this.#lease : await KeptLease.adopt(holder.lease, this.#store.context, this.#options.signal);
    if (lease === undefined) return undefined;
    // Ours: an attempt whose answer was lost. Otherwise say what it is for now.
    const outcome = isOurs ? "done" : await this.#commit(planNote(group, state, { record, lease: lease.id, member }));
    if (outcome === "done") return new Hold(this.#store, record, lease);
    lease.letGo();
    return undefined;
  }

  /** It holds since when it first did; and what it went down for still counts when it has just come up. */
  #recordAgain(earlier: HoldRecord | undefined): HoldRecord {
    const isGoingDown = this.#isResuming && earlier?.isGoingDown === true;
    const sinceMs = earlier?.sinceMs ?? this.#record.sinceMs;
    return { ...this.#record, sinceMs, ...(isGoingDown ? { isGoingDown } : {}) };
  }

  async #take(state: GroupState): Promise<Hold | undefined> {
    const { quorum, signal } = this.#options;
    const seen = await quorum?.look(signal);
    const verdict = seen === undefined ? OK : this.#judge(state, seen);
    if (!verdict.ok) {
      if (this.#options.wait !== true) throw new LocksmithError("ERR_QUORUM", verdict.reason);
      return await this.#stepAside(verdict.reason);
    }
    const lease = this.#options.kind === "manual" ? undefined : await this.#holdLease();
    const plan = { record: this.#record, lease: lease?.id, member: seen?.self };
    const outcome = await this.#commit(planTake(this.#store.group, state, plan));
    return outcome === "done" ? new Hold(this.#store, this.#record, lease) : undefined;
  }

  #judge(state: GroupState, seen: { members: readonly MemberHealth[]; self: string | undefined }): QuorumVerdict {
    return judgeQuorum(this.#store.group.name, state, this.#record.id, seen, this.#options.mayLoseQuorum);
  }

  /** The head of the queue that may not go down must not keep those behind it from their turn. */
  async #stepAside(reason: string): Promise<undefined> {
    this.#tell(reason);
    await this.#leaveQueue();
    await this.#quorumBackoff.wait(this.#options.signal);
    return undefined;
  }

  async #wait(state: GroupState, reason: string): Promise<void> {
    const { clock, store, waiterTtlMs } = this.#store.context;
    this.#tell(reason);
    const mine = state.waiters.find(({ id }) => id === this.#record.id);
    if (this.#place?.isAlive !== true) this.#place = await this.#store.lease(waiterTtlMs, this.#options.signal);
    if (mine?.lease !== this.#place.id) {
      if (state.waiters.length >= WAITERS_MAX) {
        throw new LocksmithError("ERR_QUEUE_FULL", `${WAITERS_MAX} machines wait for the lock already`);
      }
      await this.#commit(planEnqueue(this.#store.group, state, this.#record, this.#place.id));
      return; // and look again: the queue may have been short
    }
    const late = new AbortController();
    const signals = [late.signal, this.#place.lost, ...(this.#options.signal ? [this.#options.signal] : [])];
    using _timer = clock.after(LOOK_AGAIN_MS, () => late.abort());
    await store.changed(this.#whatToWatch(state), state.revision, AbortSignal.any(signals));
    late.abort();
    this.#conflicts = 0;
  }

  /** Only the head of the queue watches the group; the others whoever is before them, so that one wakes at a time. */
  #whatToWatch(state: GroupState): string {
    const { keys } = this.#store.group;
    const before = state.waiters[state.waiters.findIndex(({ id }) => id === this.#record.id) - 1];
    return before === undefined ? keys.prefix : keyOf(keys.queue, before.id);
  }

  async #holdLease(): Promise<KeptLease> {
    const { holdTtlMs } = this.#store.context;
    if (this.#lease?.isAlive !== true) this.#lease = await this.#store.lease(holdTtlMs, this.#options.signal);
    return this.#lease;
  }

  /** An unknown outcome is thrown: the next thing to do is to wait a little and to read. */
  async #commit(transaction: Transaction): Promise<"done" | "conflict"> {
    const outcome = await this.#store.commit(transaction, this.#options.signal);
    if (outcome === "unknown") throw new StoreUnavailableError("etcd has not answered", true);
    if (outcome === "done") this.#conflictBackoff.reset();
    else {
      this.#conflict();
      await this.#conflictBackoff.wait(this.#options.signal);
    }
    return outcome;
  }

  #conflict(): void {
    if (++this.#conflicts < CONFLICTS_MAX || this.#options.wait === true) return;
    throw new LocksmithError("ERR_CONTENDED", `others were faster ${CONFLICTS_MAX} times: try again`);
  }

  #tell(reason: string, error?: unknown): void {
    if (reason === this.#lastWait) return;
    this.#lastWait = reason;
    this.#options.onWait?.(reason, error);
  }

  #forgetLeases(): void {
    for (const lease of [this.#place, this.#lease]) lease?.lose("has ended in the store");
    [this.#place, this.#lease] = [undefined, undefined];
  }

  async #leaveQueue(): Promise<void> {
    const place = this.#place;
    this.#place = undefined;
    if (place === undefined) return;
    place.letGo();
    const { conditions, writes } = planWithdraw(this.#store.group, this.#record.id, place.id);
    await this.#briefly((signal) => this.#store.context.store.commit(conditions, writes, signal));
    await this.#briefly((signal) => place.revoke(signal));
  }

  /** What cannot be cleaned up now ends with its lease. */
  async #cleanUp(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    await Promise.all([this.#leaveQueue(), this.#briefly(async (signal) => await lease?.revoke(signal))]);
  }

  async #briefly(work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    const late = new AbortController();
    using _timer = this.#store.context.clock.after(CLEAN_UP_MS_MAX, () => late.abort());
    await work(late.signal).catch(() => {});
  }
}

const CLEAN_UP_MS_MAX = 2_000;
const OK: QuorumVerdict = { ok: true };

/** Whether etcd survives without this machine, by what its group says of the others. */
export function judgeQuorum(
  group: string,
  state: GroupState,
  id: string,
  seen: { readonly members: readonly MemberHealth[]; readonly self: string | undefined },
  mayLoseQuorum = false,
): QuorumVerdict {
  const leaving = othersLeaving(state, group);
  const known = new Set([...leaving.values()].filter((entry) => entry.group === group).map(({ holder }) => holder));
  const unknownHolders = state.holders
    .filter((holder) => holder.kind === "manual" && holder.id !== id && !known.has(holder.id))
    .map((holder) => holder.id);
  return mayGoDown({ ...seen, leaving, unknownHolders, mayLoseQuorum });
}
