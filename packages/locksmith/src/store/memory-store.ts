import type { Clock, LeaseId, Revision } from "@keelson/types";
import {
  type CommitResult,
  type Condition,
  type Entry,
  type KeyRange,
  type LockStore,
  leaseGone,
  type Snapshot,
  type Write,
} from "./port.ts";

interface Lease {
  readonly ttlS: number;
  expiry: Disposable;
}

/** The part of etcd that locksmith uses, as one object in memory. */
export class MemoryLockServer {
  readonly #clock: Clock;
  readonly #keys = new Map<string, Entry>();
  readonly #leases = new Map<LeaseId, Lease>();
  readonly #observers = new Set<() => void>();
  readonly #changedAt = new Map<string, Revision>();
  #revision: Revision = 1;
  #nextLease: LeaseId = 1n;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get revision(): Revision {
    return this.#revision;
  }

  /** Without a leader no lease ends. */
  loseLeader(): void {
    for (const lease of this.#leases.values()) lease.expiry[Symbol.dispose]();
  }

  /** As in etcd, a new leader gives every lease its whole time anew. */
  electLeader(): void {
    for (const id of this.#leases.keys()) this.keepAlive(id);
  }

  read(ranges: readonly KeyRange[]): Snapshot {
    const isIn = (key: string) =>
      ranges.some((range) => ("key" in range ? key === range.key : key.startsWith(range.prefix)));
    const entries = [...this.#keys.values()].filter(({ key }) => isIn(key));
    return { revision: this.#revision, entries: entries.toSorted((a, b) => (a.key < b.key ? -1 : 1)) };
  }

  /** @throws {LocksmithError} ERR_LEASE_GONE */
  commit(conditions: readonly Condition[], writes: readonly Write[]): CommitResult {
    if (!conditions.every((condition) => this.#holds(condition))) {
      return { isCommitted: false, revision: this.#revision };
    }
    for (const write of writes) {
      if (write.type === "put" && write.lease !== undefined && !this.#leases.has(write.lease)) {
        throw leaseGone(write.lease);
      }
    }
    this.#apply(writes);
    return { isCommitted: true, revision: this.#revision };
  }

  /** Whether a key below a prefix has changed after a revision. */
  hasChanged(prefix: string, afterRevision: Revision): boolean {
    return [...this.#changedAt].some(([key, revision]) => revision > afterRevision && key.startsWith(prefix));
  }

  /** Calls `observe` after each change until disposed. */
  onChange(observe: () => void): Disposable {
    this.#observers.add(observe);
    return { [Symbol.dispose]: () => void this.#observers.delete(observe) };
  }

  grant(ttlS: number): { id: LeaseId; ttlS: number } {
    const id = this.#nextLease++;
    this.#leases.set(id, { ttlS, expiry: this.#arm(id, ttlS) });
    return { id, ttlS };
  }

  keepAlive(id: LeaseId): number {
    const lease = this.#leases.get(id);
    if (lease === undefined) return 0;
    lease.expiry[Symbol.dispose]();
    lease.expiry = this.#arm(id, lease.ttlS);
    return lease.ttlS;
  }

  revoke(id: LeaseId): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.expiry[Symbol.dispose]();
    this.#leases.delete(id);
    const keys = [...this.#keys.values()].filter((entry) => entry.lease === id).map(({ key }) => key);
    this.#apply(keys.map((key) => ({ type: "delete", key })));
  }

  #arm(id: LeaseId, ttlS: number): Disposable {
    return this.#clock.after(ttlS * 1_000, () => this.revoke(id));
  }

  #holds(condition: Condition): boolean {
    if ("prefix" in condition) {
      const { prefix, noneAfter } = condition;
      return [...this.#keys.values()].every((e) => e.createRevision <= noneAfter || !e.key.startsWith(prefix));
    }
    const entry = this.#keys.get(condition.key);
    if ("createRevision" in condition) return (entry?.createRevision ?? 0) === condition.createRevision;
    if ("modRevision" in condition) return (entry?.modRevision ?? 0) === condition.modRevision;
    return (entry?.lease ?? 0n) === condition.lease;
  }

  #apply(writes: readonly Write[]): void {
    const effective = writes.filter((write) => write.type === "put" || this.#keys.has(write.key));
    if (effective.length === 0) return;
    const revision = ++this.#revision;
    for (const write of effective) {
      this.#changedAt.set(write.key, revision);
      if (write.type === "delete") this.#keys.delete(write.key);
      else {
        const createRevision = this.#keys.get(write.key)?.createRevision ?? revision;
        const { key, value, lease = 0n } = write;
        this.#keys.set(key, { key, value, createRevision, modRevision: revision, lease });
      }
    }
    for (const observe of this.#observers) observe();
  }
}

/** A client of a {@link MemoryLockServer} that is always reached. */
export class MemoryLockStore implements LockStore {
  readonly #server: MemoryLockServer;

  constructor(server: MemoryLockServer) {
    this.#server = server;
  }

  async read(ranges: readonly KeyRange[], signal?: AbortSignal): Promise<Snapshot> {
    signal?.throwIfAborted();
    return this.#server.read(ranges);
  }

  async commit(
    conditions: readonly Condition[],
    writes: readonly Write[],
    signal?: AbortSignal,
  ): Promise<CommitResult> {
    signal?.throwIfAborted();
    return this.#server.commit(conditions, writes);
  }

  changed(prefix: string, afterRevision: Revision, signal: AbortSignal): Promise<void> {
    return waitForChange(this.#server, prefix, afterRevision, signal);
  }

  async grant(ttlS: number): Promise<{ id: LeaseId; ttlS: number }> {
    return this.#server.grant(ttlS);
  }

  async keepAlive(id: LeaseId): Promise<number> {
    return this.#server.keepAlive(id);
  }

  async revoke(id: LeaseId): Promise<void> {
    this.#server.revoke(id);
  }
}

/** Resolves when a key below `prefix` has changed after a revision, or the signal aborts. */
export function waitForChange(
  server: MemoryLockServer,
  prefix: string,
  afterRevision: Revision,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = () => {
    if (signal.aborted || server.hasChanged(prefix, afterRevision)) done();
  };
  const observer = server.onChange(look);
  const done = () => {
    observer[Symbol.dispose]();
    signal.removeEventListener("abort", done);
    resolve();
  };
  signal.addEventListener("abort", done, { once: true });
  look();
  return promise;
}
