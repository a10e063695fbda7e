import { CompactedError, compare, type EtcdClient, EtcdError, op, toBytes } from "@keelson/etcd-client";
import type { LeaseId, Revision } from "@keelson/types";
import {
  type CommitResult,
  type Condition,
  type Entry,
  type KeyRange,
  type LockStore,
  leaseGone,
  type Snapshot,
  StoreUnavailableError,
  type Write,
} from "./port.ts";

/** {@link LockStore} on an etcd v3 cluster, ours or upstream's. The client stays the caller's. */
export class EtcdLockStore implements LockStore {
  readonly #client: EtcdClient;

  constructor(client: EtcdClient) {
    this.#client = client;
  }

  async read(ranges: readonly KeyRange[], signal?: AbortSignal): Promise<Snapshot> {
    const { revision, results } = await translate(
      this.#client
        .txn()
        .then(...ranges.map((range) => op.get(range)))
        .commit({ signal }),
    );
    const entries = new Map<string, Entry>();
    for (const result of results) {
      if (result.type !== "get") continue;
      for (const { keyText: key, text: value, createRevision, modRevision, lease } of result.kvs) {
        entries.set(key, { key, value, createRevision, modRevision, lease });
      }
    }
    return { revision, entries: [...entries.values()].toSorted(byKey) };
  }

  async commit(
    conditions: readonly Condition[],
    writes: readonly Write[],
    signal?: AbortSignal,
  ): Promise<CommitResult> {
    const ops = writes.map((write) =>
      write.type === "delete"
        ? op.delete(write.key)
        : op.put(write.key, write.value, write.lease === undefined ? {} : { lease: write.lease }),
    );
    const txn = this.#client
      .txn()
      .if(...conditions.map(toCompare))
      .then(...ops);
    const { succeeded, revision } = await translate(txn.commit({ signal }), writes);
    return { isCommitted: succeeded, revision };
  }

  async changed(prefix: string, afterRevision: Revision, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    try {
      const batches = this.#client.watch({ prefix, startRevision: afterRevision + 1, signal });
      for await (const { events } of batches) if (events.length > 0) return;
    } catch (error) {
      // Compacted: much has changed. Anything else: the caller reads, and sees the trouble itself, but not in a busy loop.
      if (!(error instanceof CompactedError)) await this.#client.pause(signal).catch(() => {});
    }
  }

  async grant(ttlS: number, signal?: AbortSignal): Promise<{ id: LeaseId; ttlS: number }> {
    // The caller renews it: it knows better than the client when to stop.
    const lease = await translate(this.#client.lease.grant(ttlS, { keepAlive: false, signal }));
    return { id: lease.id, ttlS: lease.ttl };
  }

  async keepAlive(id: LeaseId, signal?: AbortSignal): Promise<number> {
    try {
      return await translate(this.#client.lease.keepAliveOnce(id, { signal }));
    } catch (error) {
      if (signal?.aborted === true) throw error;
      // A renewal is a stream, which goes to one endpoint. This read finds one that works for the next renewal.
      const { ttl } = await translate(this.#client.lease.timeToLive(id, { signal }));
      if (ttl < 0) return 0;
      throw error;
    }
  }

  async revoke(id: LeaseId, signal?: AbortSignal): Promise<void> {
    try {
      await translate(this.#client.lease.revoke(id, { signal }));
    } catch (error) {
      if (error instanceof StoreUnavailableError || signal?.aborted === true) throw error;
    }
  }
}

function byKey(a: Entry, b: Entry): number {
  return Buffer.compare(toBytes(a.key), toBytes(b.key));
}

function toCompare(condition: Condition) {
  if ("prefix" in condition) return compare.createRevision({ prefix: condition.prefix }, "<", condition.noneAfter + 1);
  if ("createRevision" in condition) return compare.createRevision(condition.key, "=", condition.createRevision);
  if ("modRevision" in condition) return compare.modRevision(condition.key, "=", condition.modRevision);
  return compare.lease(condition.key, "=", condition.lease);
}

async function translate<T>(promise: Promise<T>, writes: readonly Write[] = []): Promise<T> {
  try {
    return await promise;
  } catch (cause) {
    if (!(cause instanceof EtcdError)) throw cause;
    if (cause.code === "ERR_LEASE_NOT_FOUND") {
      const leased = writes.flatMap((write) =>
        write.type === "put" && write.lease !== undefined ? [write.lease] : [],
      );
      throw leaseGone(leased[0] ?? 0n, cause);
    }
    throw new StoreUnavailableError("etcd does not serve us", cause.outcomeUnknown, cause);
  }
}
