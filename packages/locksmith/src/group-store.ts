import type { Clock, Logger, Random } from "@keelson/types";
import { type GroupState, readGroup } from "./core/group.ts";
import { groupKeys, LEAVING_KEY } from "./core/keys.ts";
import type { Group } from "./core/plan.ts";
import type { Transaction } from "./core/txn.ts";
import { type KeptLease, KeptLease as Lease } from "./kept-lease.ts";
import { type LockStore, StoreUnavailableError } from "./store/port.ts";

/** Everything a semaphore works with. */
export interface GroupContext {
  readonly store: LockStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly group: string;
  readonly holdTtlMs: number;
  readonly waiterTtlMs: number;
}

/** How a transaction ended: `unknown` when there was no answer, so that it must be found out by reading. */
export type Outcome = "done" | "conflict" | "unknown";

/** The keys of one group: read as one state, changed by the transactions of `core/plan.ts`. */
export class GroupStore {
  readonly context: GroupContext;
  readonly group: Group;

  constructor(context: GroupContext) {
    this.context = context;
    this.group = { name: context.group, keys: groupKeys(context.group) };
  }

  /** @throws {StoreUnavailableError} @throws {LocksmithError} ERR_SEMAPHORE_FORMAT */
  async read(signal?: AbortSignal): Promise<GroupState> {
    const { keys } = this.group;
    const ranges = [
      { key: keys.semaphore },
      { prefix: keys.holds },
      { prefix: keys.records },
      { prefix: keys.queue },
      { key: LEAVING_KEY },
    ];
    const { revision, entries } = await this.context.store.read(ranges, signal);
    return readGroup(keys, revision, entries);
  }

  /** Never tries again by itself. @throws {StoreUnavailableError} only when it certainly was not applied */
  async commit({ conditions, writes }: Transaction, signal?: AbortSignal): Promise<Outcome> {
    try {
      const { isCommitted } = await this.context.store.commit(conditions, writes, signal);
      return isCommitted ? "done" : "conflict";
    } catch (error) {
      if (error instanceof StoreUnavailableError && error.isOutcomeUnknown) return "unknown";
      throw error;
    }
  }

  /** A lease that is kept alive, for a hold or for a place in the queue. */
  async lease(ttlMs: number, signal?: AbortSignal): Promise<KeptLease> {
    return await Lease.grant(Math.ceil(ttlMs / 1_000), this.context, signal);
  }
}
