import { type GroupKeys, LEAVING_KEY, nameOf } from "./keys.ts";
import { type Leaving, parseLeaving } from "./quorum.ts";
import { type HoldRecord, parseRecord } from "./record.ts";
import { freeSlots, INITIAL_SEMAPHORE, parseSemaphore, type Semaphore } from "./semaphore.ts";
import type { Entry } from "./txn.ts";

/** A holder, and how it came to be one. */
export interface Holder {
  readonly id: string;
  /**
   * `alive`: its lease runs. `stale`: it had a lease, which has ended. `manual`: it has none and never ends by itself;
   * upstream's holders are all like that.
   */
  readonly kind: "alive" | "stale" | "manual";
  readonly record: HoldRecord | undefined;
  /** Of the hold key; 0n when there is none. */
  readonly lease: bigint;
}

export interface Waiter {
  readonly id: string;
  /** Grows from waiter to waiter: who has the least is first. */
  readonly order: number;
  readonly lease: bigint;
  readonly record: HoldRecord | undefined;
}

/** Everything of a group as of one revision. */
export interface GroupState {
  readonly revision: number;
  readonly semaphore: Semaphore;
  /** 0 when there is no semaphore yet. A transaction compares it, so that it decides on what was read here. */
  readonly semaphoreRevision: number;
  /** In the order of the semaphore. */
  readonly holders: readonly Holder[];
  /** First come, first served. */
  readonly waiters: readonly Waiter[];
  readonly leaving: Leaving;
  readonly leavingRevision: number;
}

/** Puts the keys of a group together. @throws {LocksmithError} ERR_SEMAPHORE_FORMAT */
export function readGroup(keys: GroupKeys, revision: number, entries: readonly Entry[]): GroupState {
  const named = (prefix: string) =>
    new Map(
      entries.flatMap((entry) => {
        const name = nameOf(prefix, entry.key);
        return name === undefined ? [] : [[name, entry] as const];
      }),
    );
  const [holds, records] = [named(keys.holds), named(keys.records)];
  const semaphoreEntry = entries.find(({ key }) => key === keys.semaphore);
  const semaphore = semaphoreEntry === undefined ? INITIAL_SEMAPHORE : parseSemaphore(semaphoreEntry.value);
  const leavingEntry = entries.find(({ key }) => key === LEAVING_KEY);
  return {
    revision,
    semaphore,
    semaphoreRevision: semaphoreEntry?.modRevision ?? 0,
    holders: semaphore.holders.map((id) => readHolder(id, holds.get(id), records.get(id))),
    waiters: [...named(keys.queue)]
      .map(([id, entry]) => ({
        id,
        order: entry.createRevision,
        lease: entry.lease,
        record: parseRecord(id, entry.value),
      }))
      .toSorted((a, b) => a.order - b.order),
    leaving: parseLeaving(leavingEntry?.value),
    leavingRevision: leavingEntry?.modRevision ?? 0,
  };
}

function readHolder(id: string, hold: Entry | undefined, recordEntry: Entry | undefined): Holder {
  const record = recordEntry === undefined ? undefined : parseRecord(id, recordEntry.value);
  if (hold !== undefined) return { id, kind: "alive", record, lease: hold.lease };
  return { id, kind: record?.lease === undefined ? "manual" : "stale", record, lease: 0n };
}

/** Whether a machine may take a slot now. */
export type TakeDecision =
  | { readonly action: "held"; readonly holder: Holder }
  | { readonly action: "take" }
  | { readonly action: "wait"; readonly reason: string; readonly ahead: number };

/**
 * The head of the queue takes the next slot: of n free ones, the first n waiters one each. Waiters that come later
 * never get ahead, so what is true here of those ahead stays true as long as the semaphore is as it was read.
 */
export function decideTake(state: GroupState, id: string): TakeDecision {
  const holder = state.holders.find((h) => h.id === id);
  if (holder !== undefined) return { action: "held", holder };
  const place = state.waiters.findIndex((waiter) => waiter.id === id);
  const ahead = place === -1 ? state.waiters.length : place;
  const free = freeSlots(state.semaphore);
  if (free <= 0) return { action: "wait", reason: `semaphore is at ${free}`, ahead };
  if (ahead < free) return { action: "take" };
  const others = ahead === 1 ? "1 machine waits" : `${ahead} machines wait`;
  return { action: "wait", reason: `semaphore is at ${free}, and ${others} before this one`, ahead };
}

/** Holders whose lease has ended: their slots may be given on. Never those that had none. */
export function staleHolders(state: GroupState): readonly Holder[] {
  return state.holders.filter((holder) => holder.kind === "stale");
}
