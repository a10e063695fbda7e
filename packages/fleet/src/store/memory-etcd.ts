import { assert, type Clock, type LeaseId, type Revision } from "@keelson/types";
import { SessionLostError, StoreCompactedError } from "../errors.ts";
import type { CommitResult, Condition, StoreBatch, StoreEntry, StoreEvent, StoreSnapshot, Write } from "./port.ts";

interface Lease {
  readonly id: LeaseId;
  readonly ttlMs: number;
  readonly keys: Set<string>;
  expiry: Disposable;
}

/** The part of etcd that fleet uses, as one object in memory: the server side of {@link MemoryFleetStore}. */
export class MemoryEtcd {
  /** Transactions that changed something, and lease expiries: what a cluster at rest must not have. */
  writes = 0;
  keepAlives = 0;
  readonly #clock: Clock;
  readonly #keys = new Map<string, StoreEntry & { readonly lease: LeaseId }>();
  readonly #leases = new Map<LeaseId, Lease>();
  readonly #watchers = new Set<() => void>();
  #history: StoreBatch[] = [];
  #revision: Revision = 1;
  #compacted: Revision = 0;
  #nextLease = 1n;
  #isUp = true;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get revision(): Revision {
    return this.#revision;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Loses quorum: nobody is answered and no lease ends. */
  down(): void {
    this.#isUp = false;
    for (const lease of this.#leases.values()) lease.expiry[Symbol.dispose]();
  }

  /** Has quorum again. As in etcd, the new leader gives every lease its whole time anew. */
  up(): void {
    this.#isUp = true;
    for (const lease of this.#leases.values()) this.#arm(lease);
    for (const wake of this.#watchers) wake();
  }

  read(prefix: string): StoreSnapshot {
    const found = [...this.#keys.values()].filter((entry) => entry.key.startsWith(prefix));
    const entries = found.map(({ key, value, createRevision, modRevision }) => ({
      key,
      value,
      createRevision,
      modRevision,
    }));
    entries.sort((a, b) => (a.key < b.key ? -1 : 1));
    return { revision: this.#revision, entries };
  }

  commit(conditions: readonly Condition[], writes: readonly Write[]): CommitResult {
    for (const condition of conditions) {
      const entry = this.#keys.get(condition.key);
      const holds =
        "createRevision" in condition
          ? (entry?.createRevision ?? 0) === condition.createRevision
          : (entry?.modRevision ?? 0) === condition.modRevision;
      if (!holds) return { isCommitted: false, revision: this.#revision };
    }
    for (const write of writes) {
      if (write.type === "put" && write.session !== undefined && !this.#leases.has(write.session.leaseId)) {
        throw new SessionLostError("requested lease not found");
      }
    }
    this.#apply(writes);
    return { isCommitted: true, revision: this.#revision };
  }

  grant(ttlMs: number): LeaseId {
    const lease = { id: this.#nextLease++, ttlMs, keys: new Set<string>(), expiry: { [Symbol.dispose]() {} } };
    this.#leases.set(lease.id, lease);
    this.#arm(lease);
    return lease.id;
  }

  /** False when there is no such lease any more. */
  keepAlive(id: LeaseId): boolean {
    this.keepAlives++;
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    this.#arm(lease);
    return true;
  }

  revoke(id: LeaseId): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    this.#leases.delete(id);
    lease.expiry[Symbol.dispose]();
    this.#apply([...lease.keys].map((key) => ({ type: "delete", key })));
  }

  /** Forgets the past up to a revision. */
  compact(revision: Revision = this.#revision): void {
    this.#compacted = revision;
    this.#history = this.#history.filter((batch) => batch.revision > revision);
    for (const wake of this.#watchers) wake();
  }

  /** Changes after a revision, of which only those below a prefix are given; undefined when there are none yet. @throws StoreCompactedError */
  since(prefix: string, after: Revision): StoreBatch | undefined {
    if (after < this.#compacted) throw new StoreCompactedError("required revision has been compacted");
    if (after >= this.#revision) return undefined;
    let first = this.#history.length;
    while ((this.#history[first - 1]?.revision ?? 0) > after) first--;
    const events = this.#history
      .slice(first)
      .flatMap((batch) => batch.events)
      .filter((event) => (event.type === "put" ? event.entry.key : event.key).startsWith(prefix));
    return { revision: this.#revision, events };
  }

  /** Calls `wake` after every change until disposed. */
  onChange(wake: () => void): Disposable {
    this.#watchers.add(wake);
    return { [Symbol.dispose]: () => void this.#watchers.delete(wake) };
  }

  #arm(lease: Lease): void {
    lease.expiry[Symbol.dispose]();
    lease.expiry = this.#clock.after(lease.ttlMs, () => this.revoke(lease.id));
  }

  #apply(writes: readonly Write[]): void {
    const revision = this.#revision + 1;
    const events: StoreEvent[] = [];
    for (const write of writes) {
      if (write.type === "put") events.push(this.#put(write.key, write.value, revision, write.session?.leaseId ?? 0n));
      else {
        const isHit = (key: string) => (write.type === "delete" ? key === write.key : key.startsWith(write.prefix));
        for (const key of [...this.#keys.keys()].filter(isHit)) events.push(this.#delete(key, revision));
      }
    }
    if (events.length === 0) return;
    this.#revision = revision;
    this.writes++;
    this.#history.push({ revision, events });
    for (const wake of this.#watchers) wake();
  }

  #put(key: string, value: string, revision: Revision, lease: LeaseId): StoreEvent {
    const old = this.#keys.get(key);
    if (old !== undefined) this.#leases.get(old.lease)?.keys.delete(key);
    this.#leases.get(lease)?.keys.add(key);
    const entry = { key, value, createRevision: old?.createRevision ?? revision, modRevision: revision };
    this.#keys.set(key, { ...entry, lease });
    return { type: "put", entry };
  }

  #delete(key: string, revision: Revision): StoreEvent {
    const old = this.#keys.get(key);
    assert(old !== undefined, "only existing keys are deleted", { key });
    this.#leases.get(old.lease)?.keys.delete(key);
    this.#keys.delete(key);
    return { type: "delete", key, modRevision: revision };
  }
}
