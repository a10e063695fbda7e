import { assert, type Clock, type LeaseId, type Revision } from "@keelson/types";
import { SessionLostError, StoreCompactedError, StoreUnavailableError } from "../errors.ts";
import { delay } from "../time.ts";
import type { MemoryEtcd } from "./memory-etcd.ts";
import {
  type CommitResult,
  type Condition,
  type FleetStore,
  type Leadership,
  type StoreBatch,
  type StoreSession,
  type StoreSnapshot,
  TXN_OPS_MAX,
  type Write,
} from "./port.ts";

/** Options of {@link MemoryFleetStore}. */
export interface MemoryStoreOptions {
  readonly etcd: MemoryEtcd;
  readonly clock: Clock;
  /** Time of one way to the server. Default 1 ms. */
  readonly latencyMs?: number;
}

/** One client of a {@link MemoryEtcd}, with a connection that tests can cut. */
export class MemoryFleetStore implements FleetStore {
  /** False: nothing gets through in either direction. */
  isConnected = true;
  readonly #etcd: MemoryEtcd;
  readonly #clock: Clock;
  readonly #latencyMs: number;
  readonly #sessions = new Set<MemorySession>();
  readonly #wakers = new Set<() => void>();

  constructor(options: MemoryStoreOptions) {
    this.#etcd = options.etcd;
    this.#clock = options.clock;
    this.#latencyMs = options.latencyMs ?? 1;
  }

  /** Cuts or mends the connection. */
  setConnected(isConnected: boolean): void {
    this.isConnected = isConnected;
    for (const wake of this.#wakers) wake();
  }

  /** As {@link FleetStore} asks; also used by sessions. */
  async call<T>(fn: (etcd: MemoryEtcd) => T): Promise<T> {
    await delay(this.#clock, this.#latencyMs);
    if (!this.isReachable()) throw new StoreUnavailableError("store cannot be reached");
    const result = fn(this.#etcd);
    await delay(this.#clock, this.#latencyMs);
    if (!this.isReachable()) throw new StoreUnavailableError("store gave no answer", { isOutcomeUnknown: true });
    return result;
  }

  isReachable(): boolean {
    return this.isConnected && this.#etcd.isUp;
  }

  read(prefix: string): Promise<StoreSnapshot> {
    return this.call((etcd) => etcd.read(prefix));
  }

  async *watch(prefix: string, afterRevision: Revision, signal: AbortSignal): AsyncIterable<StoreBatch> {
    for (let after = afterRevision; !signal.aborted; ) {
      const batch = this.isReachable() ? this.#etcd.since(prefix, after) : undefined;
      if (batch === undefined) {
        await this.#changed(signal);
        if (!signal.aborted) await delay(this.#clock, this.#latencyMs);
        continue;
      }
      after = batch.revision;
      if (batch.events.length > 0) yield batch;
    }
  }

  commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<CommitResult> {
    assert(conditions.length <= TXN_OPS_MAX && writes.length <= TXN_OPS_MAX, "a transaction is not too large");
    return this.call((etcd) => etcd.commit(conditions, writes));
  }

  async openSession(ttlMs: number): Promise<StoreSession> {
    const leaseId = await this.call((etcd) => etcd.grant(ttlMs));
    const session = new MemorySession(this, this.#clock, leaseId, ttlMs);
    this.#sessions.add(session);
    return session;
  }

  async campaign(session: StoreSession, name: string, value: string, signal: AbortSignal): Promise<Leadership> {
    const key = `${name}/${session.leaseId.toString(16)}`;
    const ended = AbortSignal.any([signal, session.lost]);
    const put: Write = { type: "put", key, value, session };
    await this.commit([{ key, createRevision: 0 }], [put]);
    for (;;) {
      const { entries, revision } = await this.read(`${name}/`);
      const first = entries.toSorted((a, b) => a.createRevision - b.createRevision)[0];
      if (first?.key === key) return { key, createRevision: first.createRevision };
      await this.#firstChange(`${name}/`, revision, ended);
      signal.throwIfAborted();
      if (session.lost.aborted) throw new SessionLostError("session ended while waiting to become leader");
    }
  }

  /** Something may have changed below a prefix: look again. */
  async #firstChange(prefix: string, after: Revision, signal: AbortSignal): Promise<void> {
    try {
      for await (const _ of this.watch(prefix, after, signal)) return;
    } catch (error) {
      if (!(error instanceof StoreCompactedError)) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await session.close({ revoke: true });
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        watching[Symbol.dispose]();
        this.#wakers.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      const watching = this.#etcd.onChange(wake);
      this.#wakers.add(wake);
      signal.addEventListener("abort", wake);
    });
  }
}

class MemorySession implements StoreSession {
  readonly leaseId: LeaseId;
  readonly #store: MemoryFleetStore;
  readonly #lost = new AbortController();
  readonly #beat: Disposable;
  readonly #clock: Clock;
  #aliveAtMs: number;

  constructor(store: MemoryFleetStore, clock: Clock, leaseId: LeaseId, ttlMs: number) {
    this.leaseId = leaseId;
    this.#store = store;
    this.#clock = clock;
    this.#aliveAtMs = clock.monotonicMs();
    this.#beat = clock.every(ttlMs / 3, () => void this.#keepAlive(ttlMs));
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async close({ revoke }: { readonly revoke: boolean }): Promise<void> {
    this.#beat[Symbol.dispose]();
    if (revoke) await this.#store.call((etcd) => etcd.revoke(this.leaseId)).catch(() => {});
  }

  async #keepAlive(ttlMs: number): Promise<void> {
    const sentAtMs = this.#clock.monotonicMs();
    try {
      const isAlive = await this.#store.call((etcd) => etcd.keepAlive(this.leaseId));
      if (isAlive) this.#aliveAtMs = sentAtMs;
      else this.#end();
    } catch {
      if (this.#clock.monotonicMs() - this.#aliveAtMs >= ttlMs) this.#end();
    }
  }

  #end(): void {
    this.#beat[Symbol.dispose]();
    this.#lost.abort(new SessionLostError("lease has ended"));
  }
}
