import type { LeaseId, Revision } from "@keelson/types";
import { LocksmithError } from "../core/errors.ts";
import type { Condition, Entry, KeyRange, Write } from "../core/txn.ts";

export type { Condition, Entry, KeyRange, Write } from "../core/txn.ts";

/** Several ranges as of one revision. */
export interface Snapshot {
  readonly revision: Revision;
  /** Sorted by key, each once. */
  readonly entries: readonly Entry[];
}

export interface CommitResult {
  /** False: a condition did not hold and nothing was written. */
  readonly isCommitted: boolean;
  readonly revision: Revision;
}

/**
 * What locksmith needs of etcd. No method tries a write again: an error with `isOutcomeUnknown` means that it may have
 * happened or may still happen. Real: `EtcdLockStore`; simulated: `MemoryLockStore`; both pass
 * `@keelson/locksmith/contract`.
 *
 * Methods throw {@link StoreUnavailableError} when there is no answer, {@link leaseGone} for a lease that has ended.
 */
export interface LockStore {
  /** A linearizable read. */
  read(ranges: readonly KeyRange[], signal?: AbortSignal): Promise<Snapshot>;
  /** Writes all or nothing. */
  commit(conditions: readonly Condition[], writes: readonly Write[], signal?: AbortSignal): Promise<CommitResult>;
  /**
   * Resolves when something below `prefix` has changed after `afterRevision`, perhaps also without; or when the signal
   * aborts. Never rejects.
   */
  changed(prefix: string, afterRevision: Revision, signal: AbortSignal): Promise<void>;
  /** A new lease; the store may grant more seconds than asked for. */
  grant(ttlS: number, signal?: AbortSignal): Promise<{ readonly id: LeaseId; readonly ttlS: number }>;
  /** Renews a lease; resolves with its time to live in seconds, 0 when it has ended. */
  keepAlive(id: LeaseId, signal?: AbortSignal): Promise<number>;
  /** Ends a lease and deletes its keys. A lease that has ended already is no error. */
  revoke(id: LeaseId, signal?: AbortSignal): Promise<void>;
}

/** The store gave no answer. */
export class StoreUnavailableError extends LocksmithError {
  /** A write that may or may not have been applied, now or later. */
  readonly isOutcomeUnknown: boolean;

  constructor(message: string, isOutcomeUnknown: boolean, cause?: unknown) {
    super("ERR_STORE_UNAVAILABLE", message, { isOutcomeUnknown }, cause === undefined ? undefined : { cause });
    this.isOutcomeUnknown = isOutcomeUnknown;
  }
}

/** A write named a lease that has ended, so nothing was written. */
export function leaseGone(id: LeaseId, cause?: unknown): LocksmithError {
  const message = `lease ${id.toString(16)} has ended`;
  return new LocksmithError("ERR_LEASE_GONE", message, {}, cause === undefined ? undefined : { cause });
}
