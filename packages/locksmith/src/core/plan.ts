import { encodeDenial } from "./denial.ts";
import type { GroupState, Holder } from "./group.ts";
import { DENIED_PREFIX, type GroupKeys, keyOf, LEAVING_KEY } from "./keys.ts";
import { changeLeaving, encodeLeaving, type Leaving } from "./quorum.ts";
import { encodeRecord, type HoldRecord } from "./record.ts";
import { encodeSemaphore, lockSlot, type Semaphore, setMaxSlots, unlockSlot } from "./semaphore.ts";
import type { Condition, Transaction, Write } from "./txn.ts";

// Every change is one transaction on what was read: it compares the semaphore's last change, so that two machines that
// read the same state cannot both act on it.

/** A group by name, and its keys. */
export interface Group {
  readonly name: string;
  readonly keys: GroupKeys;
}

export interface TakePlan {
  readonly record: HoldRecord;
  /** Of the hold; undefined: it ends by hand only. */
  readonly lease: bigint | undefined;
  /** The etcd member of the machine, when the quorum was looked at. */
  readonly member: string | undefined;
}

/** Takes a slot, and leaves the queue. Call it only when `decideTake` said so. */
export function planTake(group: Group, state: GroupState, { record, lease, member }: TakePlan): Transaction {
  const { keys } = group;
  const next = lockSlot(state.semaphore, record.id);
  if (!next.ok) return NOTHING;
  const queueKey = keyOf(keys.queue, record.id);
  const waiter = state.waiters.find(({ id }) => id === record.id);
  const leaving = withMember(state, group, record.id, member);
  return {
    conditions: [
      unchanged(keys, state),
      // Who is not in the queue may only come before those who queue up later.
      waiter === undefined
        ? { prefix: keys.queue, noneAfter: state.revision }
        : { key: queueKey, createRevision: waiter.order },
      ...leaving.conditions,
    ],
    writes: [
      putSemaphore(keys, next.semaphore),
      ...putHold(keys, record, lease),
      ...(waiter === undefined ? [] : [{ type: "delete" as const, key: queueKey }]),
      ...leaving.writes,
    ],
  };
}

// A machine that finds itself a holder writes the semaphore as it is: then whatever an earlier life of it sent, and is
// still on its way, no longer finds what it compares with. Otherwise a late unlock could end the hold of the next life.

/** Binds a hold that has lost its lease, or never had one, to a new one. The slot stays where it is. */
export function planAdopt(group: Group, state: GroupState, { record, lease, member }: TakePlan): Transaction {
  const leaving = member === undefined ? NO_CHANGE : withMember(state, group, record.id, member);
  return {
    conditions: [
      unchanged(group.keys, state),
      { key: keyOf(group.keys.holds, record.id), createRevision: 0 },
      ...leaving.conditions,
    ],
    writes: [putSemaphore(group.keys, state.semaphore), ...putHold(group.keys, record, lease), ...leaving.writes],
  };
}

/** Says anew who holds, and adds its member; for a machine that locks again under the lease it has. */
export function planNote(group: Group, state: GroupState, { record, lease, member }: TakePlan): Transaction {
  const leaving = member === undefined ? NO_CHANGE : withMember(state, group, record.id, member);
  return {
    conditions: [
      unchanged(group.keys, state),
      { key: keyOf(group.keys.holds, record.id), lease: lease ?? 0n },
      ...leaving.conditions,
    ],
    writes: [
      putSemaphore(group.keys, state.semaphore),
      { type: "put", key: keyOf(group.keys.records, record.id), value: encodeRecord({ ...record, ...leaseOf(lease) }) },
      ...leaving.writes,
    ],
  };
}

/** Gives the slot of a holder back. With `lease` only as long as the hold is bound to that one. */
export function planRelease(group: Group, state: GroupState, id: string, lease?: bigint): Transaction {
  const { keys } = group;
  const next = unlockSlot(state.semaphore, id);
  if (!next.ok) return NOTHING;
  const leaving = withMember(state, group, id, undefined);
  return {
    conditions: [
      unchanged(keys, state),
      ...(lease === undefined ? [] : [{ key: keyOf(keys.holds, id), lease }]),
      ...leaving.conditions,
    ],
    writes: [putSemaphore(keys, next.semaphore), ...removeHold(keys, id), ...leaving.writes],
  };
}

/**
 * Gives on the slot of a holder whose lease has ended. If it had been allowed to go down for a version, that version is
 * denied in the same breath: a machine that does not come back from an update stops the rollout.
 */
export function planReap(
  group: Group,
  state: GroupState,
  holder: Holder,
  at: { by: string; nowMs: number },
): Transaction {
  const { keys } = group;
  const next = unlockSlot(state.semaphore, holder.id);
  if (!next.ok) return NOTHING;
  const leaving = withMember(state, group, holder.id, undefined);
  return {
    conditions: [
      unchanged(keys, state),
      // It may have come back since.
      { key: keyOf(keys.holds, holder.id), createRevision: 0 },
      ...leaving.conditions,
    ],
    writes: [
      putSemaphore(keys, next.semaphore),
      ...removeHold(keys, holder.id),
      ...leaving.writes,
      ...denialOf(holder, at),
    ],
  };
}

function denialOf({ id, record }: Holder, { by, nowMs }: { by: string; nowMs: number }): Write[] {
  if (record?.version === undefined || record.isGoingDown !== true) return [];
  const { version, machine } = record;
  const reason = `${machine ?? id} took the lock for it and did not come back`;
  return [
    { type: "put", key: keyOf(DENIED_PREFIX, version), value: encodeDenial({ version, reason, by, atMs: nowMs }) },
  ];
}

/** Changes the number of slots. @throws {LocksmithError} ERR_INVALID_MAX */
export function planSetMax({ keys }: Group, state: GroupState, max: number): Transaction {
  return { conditions: [unchanged(keys, state)], writes: [putSemaphore(keys, setMaxSlots(state.semaphore, max))] };
}

/** Queues up at the end; or, when this machine has a place from an earlier life, takes that over. */
export function planEnqueue({ keys }: Group, state: GroupState, record: HoldRecord, lease: bigint): Transaction {
  const key = keyOf(keys.queue, record.id);
  const waiter = state.waiters.find(({ id }) => id === record.id);
  return {
    conditions: [{ key, createRevision: waiter?.order ?? 0 }],
    writes: [{ type: "put", key, value: encodeRecord(record), lease }],
  };
}

/** Leaves the queue, unless another life of this machine has taken the place over. */
export function planWithdraw({ keys }: Group, id: string, lease: bigint): Transaction {
  const key = keyOf(keys.queue, id);
  return { conditions: [{ key, lease }], writes: [{ type: "delete", key }] };
}

const NOTHING: Transaction = { conditions: [], writes: [] };
const NO_CHANGE = { conditions: [], writes: [] };

function unchanged(keys: GroupKeys, state: GroupState): Condition {
  return { key: keys.semaphore, modRevision: state.semaphoreRevision };
}

function putSemaphore(keys: GroupKeys, semaphore: Semaphore): Write {
  return { type: "put", key: keys.semaphore, value: encodeSemaphore(semaphore) };
}

function putHold(keys: GroupKeys, record: HoldRecord, lease: bigint | undefined): Write[] {
  const { lease: _old, ...rest } = record;
  const noted = encodeRecord({ ...rest, ...leaseOf(lease) });
  const writes: Write[] = [{ type: "put", key: keyOf(keys.records, record.id), value: noted }];
  if (lease !== undefined) writes.push({ type: "put", key: keyOf(keys.holds, record.id), value: "", lease });
  return writes;
}

function leaseOf(lease: bigint | undefined): { lease?: string } {
  return lease === undefined ? {} : { lease: lease.toString(16) };
}

function removeHold(keys: GroupKeys, id: string): Write[] {
  return [
    { type: "delete", key: keyOf(keys.holds, id) },
    { type: "delete", key: keyOf(keys.records, id) },
  ];
}

function withMember(
  state: GroupState,
  group: Group,
  id: string,
  member: string | undefined,
): { conditions: Condition[]; writes: Write[] } {
  const next = changeLeaving(othersLeaving(state, group.name), { id, group: group.name }, member);
  const isDecidedOn = member !== undefined || next !== state.leaving;
  return {
    conditions: isDecidedOn ? [{ key: LEAVING_KEY, modRevision: state.leavingRevision }] : [],
    writes: next === state.leaving ? [] : [{ type: "put", key: LEAVING_KEY, value: encodeLeaving(next) }],
  };
}

/** Members on leave, without those of this group whose machines hold nothing: a foreign program may have unlocked them. */
export function othersLeaving(state: GroupState, group: string): Leaving {
  const isGone = (entry: { holder: string; group: string }) =>
    entry.group === group && !state.semaphore.holders.includes(entry.holder);
  const kept = [...state.leaving].filter(([, entry]) => !isGone(entry));
  return kept.length === state.leaving.size ? state.leaving : new Map(kept);
}
