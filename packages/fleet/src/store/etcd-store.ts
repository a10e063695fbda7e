import {
  CompactedError,
  compare,
  type EtcdClient,
  EtcdError,
  type Lease,
  LeaseLostError,
  NotOwnerError,
  op,
} from "@keelson/etcd-client";
import { assert, type LeaseId, type Revision } from "@keelson/types";
import { SessionLostError, StoreCompactedError, StoreUnavailableError } from "../errors.ts";
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

/** {@link FleetStore} on an etcd v3 cluster, ours or upstream's. Closes the client when disposed. */
export class EtcdFleetStore implements FleetStore {
  readonly #client: EtcdClient;

  constructor(client: EtcdClient) {
    this.#client = client;
  }

  async read(prefix: string): Promise<StoreSnapshot> {
    const { revision, kvs } = await translate(this.#client.getAll({ prefix }));
    const entries = kvs.map(({ keyText, text, createRevision, modRevision }) => ({
      key: keyText,
      value: text,
      createRevision,
      modRevision,
    }));
    return { revision, entries };
  }

  async *watch(prefix: string, afterRevision: Revision, signal: AbortSignal): AsyncIterable<StoreBatch> {
    if (signal.aborted) return;
    const batches = this.#client.watch({ prefix, startRevision: afterRevision + 1, signal });
    try {
      for await (const { revision, events } of batches) {
        if (events.length === 0) continue;
        yield {
          revision,
          events: events.map(({ type, kv }) =>
            type === "delete"
              ? { type, key: kv.keyText, modRevision: kv.modRevision }
              : {
                  type,
                  entry: {
                    key: kv.keyText,
                    value: kv.text,
                    createRevision: kv.createRevision,
                    modRevision: kv.modRevision,
                  },
                },
          ),
        };
      }
    } catch (error) {
      throw toStoreError(error);
    }
  }

  async commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<CommitResult> {
    assert(conditions.length <= TXN_OPS_MAX && writes.length <= TXN_OPS_MAX, "a transaction is not too large");
    const compares = conditions.map((condition) =>
      "createRevision" in condition
        ? compare.createRevision(condition.key, "=", condition.createRevision)
        : compare.modRevision(condition.key, "=", condition.modRevision),
    );
    const ops = writes.map((write) => {
      if (write.type === "delete") return op.delete(write.key);
      if (write.type === "deletePrefix") return op.delete({ prefix: write.prefix });
      return op.put(write.key, write.value, write.session === undefined ? {} : { lease: write.session.leaseId });
    });
    const { succeeded, revision } = await translate(
      this.#client
        .txn()
        .if(...compares)
        .then(...ops)
        .commit(),
    );
    return { isCommitted: succeeded, revision };
  }

  async openSession(ttlMs: number): Promise<StoreSession> {
    return new EtcdSession(await translate(this.#client.lease.grant(Math.ceil(ttlMs / 1_000))));
  }

  async campaign(session: StoreSession, name: string, value: string, signal: AbortSignal): Promise<Leadership> {
    assert(session instanceof EtcdSession, "a session of this store");
    try {
      const won = await this.#client.election(name).campaign(value, { lease: session.lease, signal });
      return { key: won.key, createRevision: won.revision };
    } catch (error) {
      signal.throwIfAborted();
      throw toStoreError(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }
}

class EtcdSession implements StoreSession {
  readonly lease: Lease;

  constructor(lease: Lease) {
    this.lease = lease;
  }

  get leaseId(): LeaseId {
    return this.lease.id;
  }

  get lost(): AbortSignal {
    return this.lease.lost;
  }

  async close({ revoke }: { readonly revoke: boolean }): Promise<void> {
    if (revoke) await this.lease.revoke({ timeoutMs: 2_000 }).catch(() => {});
  }
}

async function translate<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw toStoreError(error);
  }
}

/** In terms of the port. Whatever it is that etcd refuses, fleet can only wait until it does not any more. */
function toStoreError(cause: unknown): unknown {
  if (cause instanceof CompactedError) return new StoreCompactedError("history is gone", {}, { cause });
  if (cause instanceof LeaseLostError || cause instanceof NotOwnerError) {
    return new SessionLostError("session has ended", {}, { cause });
  }
  if (!(cause instanceof EtcdError)) return cause;
  if (cause.code === "ERR_LEASE_NOT_FOUND") return new SessionLostError("session has ended", {}, { cause });
  const { outcomeUnknown: isOutcomeUnknown } = cause;
  return new StoreUnavailableError("etcd does not serve us", { isOutcomeUnknown }, { cause });
}
