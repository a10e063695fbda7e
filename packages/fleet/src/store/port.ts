import type { LeaseId, Revision } from "@keelson/types";

/** A key as the store holds it. Keys and values are text. */
export interface StoreEntry {
  readonly key: string;
  readonly value: string;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
}

/** A change of one key. */
export type StoreEvent =
  | { readonly type: "put"; readonly entry: StoreEntry }
  | { readonly type: "delete"; readonly key: string; readonly modRevision: Revision };

/** All changes of one or more whole revisions, in order. */
export interface StoreBatch {
  /** The last revision in it. */
  readonly revision: Revision;
  readonly events: readonly StoreEvent[];
}

/** Everything below a prefix at one revision, sorted by key. */
export interface StoreSnapshot {
  readonly revision: Revision;
  readonly entries: readonly StoreEntry[];
}

/** Holds when the key's revision of creation or last change is the given one; 0 means that there is no such key. */
export type Condition =
  | { readonly key: string; readonly createRevision: Revision }
  | { readonly key: string; readonly modRevision: Revision };

/** A write of a transaction. With a session the key ends with the session. */
export type Write =
  | { readonly type: "put"; readonly key: string; readonly value: string; readonly session?: StoreSession }
  | { readonly type: "delete"; readonly key: string }
  | { readonly type: "deletePrefix"; readonly prefix: string };

/** Outcome of {@link FleetStore.commit}. */
export interface CommitResult {
  /** False: a condition did not hold and nothing was written. */
  readonly isCommitted: boolean;
  /** The store's revision afterwards; that of the writes when there were any. */
  readonly revision: Revision;
}

/** A lease that is kept alive until it is closed, or lost. */
export interface StoreSession {
  readonly leaseId: LeaseId;
  /** Aborts when the lease has ended or must be taken to have ended, because no keep-alive got through for its whole time. */
  readonly lost: AbortSignal;
  /**
   * With `revoke` the lease ends at once; otherwise it runs out by itself once nobody renews it, which may go on as long
   * as the store is open. Never throws: a store that cannot be reached forgets the lease in time.
   */
  close(options: { readonly revoke: boolean }): Promise<void>;
}

/** Proof of an election won: writes made under this condition on it cannot be made by a deposed leader. */
export interface Leadership {
  readonly key: string;
  readonly createRevision: Revision;
}

/** At most so many conditions, and so many writes, in one transaction: etcd's --max-txn-ops. */
export const TXN_OPS_MAX = 128;

/**
 * What fleet needs from etcd. Methods throw `StoreUnavailableError` when it cannot be reached; none of them retries a
 * write. Real: `EtcdFleetStore`; simulated: `MemoryFleetStore`; both pass `@keelson/fleet/contract`.
 */
export interface FleetStore extends AsyncDisposable {
  /** A linearizable read of all keys that start with `prefix`. */
  read(prefix: string): Promise<StoreSnapshot>;
  /**
   * All changes below `prefix` after a revision, each exactly once and in order, through reconnections, until `signal`
   * aborts (the iteration then just ends). @throws StoreCompactedError when the past is no longer kept
   */
  watch(prefix: string, afterRevision: Revision, signal: AbortSignal): AsyncIterable<StoreBatch>;
  /** Writes all or nothing. At most {@link TXN_OPS_MAX} conditions and writes each. @throws SessionLostError */
  commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<CommitResult>;
  /** Grants a lease of about `ttlMs` (etcd counts whole seconds) and keeps it alive. */
  openSession(ttlMs: number): Promise<StoreSession>;
  /**
   * Waits to become the only leader of the election `name`. Rejects with the signal's reason, or with
   * `SessionLostError` when the session ends first. Losing the session later loses the leadership.
   */
  campaign(session: StoreSession, name: string, value: string, signal: AbortSignal): Promise<Leadership>;
}
