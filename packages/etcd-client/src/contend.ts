import type { EtcdClient } from "./client.ts";
import { CompactedError, EtcdError, NotOwnerError } from "./errors.ts";
import type { KeyValue } from "./key-value.ts";
import { leaseHex } from "./keys.ts";
import { canceled } from "./pool.ts";
import { compare, op } from "./txn.ts";
import type { Bytes, Compare, ContendOptions, Lease, Ownership, TxnResult } from "./types.ts";

// The recipe of clientv3/concurrency: a key per contender under `<name>/`, bound to its lease; the oldest owns. The key
// format is the same, so that our contenders queue together with those of other clients.

/** Our place in the queue: the key and its create revision. */
export interface Place {
  readonly prefix: string;
  readonly key: string;
  readonly revision: number;
}

/** Queues up under `<name>/`, or finds that this lease already has. */
export async function enqueue(
  client: EtcdClient,
  name: string,
  value: Bytes,
  options: ContendOptions,
): Promise<{ place: Place; value: Uint8Array | undefined; first: boolean }> {
  const prefix = `${name}/`;
  const key = `${prefix}${leaseHex(options.lease.id)}`;
  const owner = op.get({ prefix }, { sort: { by: "create", order: "ascend" }, limit: 1 });
  const result = await untilCertain(client, options, () =>
    client
      .txn()
      .if(compare.missing(key))
      .then(op.put(key, value, { lease: options.lease.id }), owner)
      .else(op.get({ key }), owner)
      .commit({ signal: options.signal }),
  );
  const mine = result.succeeded ? undefined : firstKv(result, 0);
  const revision = mine?.createRevision ?? result.revision;
  const oldest = firstKv(result, 1);
  return {
    place: { prefix, key, revision },
    value: mine?.value,
    first: oldest === undefined || oldest.createRevision === revision,
  };
}

/**
 * The transaction that queues us up may be repeated when its outcome is unknown: its compare on our own key makes the
 * second one find what the first one did. That is why this is not the client's general rule.
 */
async function untilCertain(
  client: EtcdClient,
  { lease, signal }: ContendOptions,
  attempt: () => Promise<TxnResult>,
): Promise<TxnResult> {
  for (;;) {
    lease.lost.throwIfAborted();
    if (signal !== undefined && isAborted(signal)) throw canceled(signal);
    try {
      return await attempt();
    } catch (error) {
      const again = error instanceof EtcdError && (error.outcomeUnknown || error.code === "ERR_UNAVAILABLE");
      if (!again || isAborted(signal)) throw error;
      await client.pause(both(lease, signal));
    }
  }
}

/** Waits until every contender before us has gone, then makes sure that we are still there. */
export async function awaitTurn(client: EtcdClient, place: Place, options: ContendOptions): Promise<void> {
  const signal = both(options.lease, options.signal);
  try {
    for (;;) {
      const before = await client.range(
        { prefix: place.prefix },
        { maxCreateRevision: place.revision - 1, sort: { by: "create", order: "descend" }, limit: 1, signal },
      );
      const last = before.kvs[0];
      if (last === undefined) break;
      await awaitDelete(client, last.key, before.revision + 1, signal);
    }
    // While we waited our own lease may have ended (Jepsen 2020 found locks granted in that case).
    const mine = await client.get(place.key, { signal });
    if (mine?.createRevision !== place.revision) throw new NotOwnerError(place.key);
  } catch (error) {
    options.lease.lost.throwIfAborted();
    if (options.signal?.aborted === true) throw canceled(options.signal);
    throw error;
  }
}

async function awaitDelete(client: EtcdClient, key: Uint8Array, startRevision: number, signal: AbortSignal) {
  try {
    for await (const { events } of client.watch({ key, startRevision, filters: ["noput"], signal })) {
      if (events.length > 0) return;
    }
  } catch (error) {
    // Compacted meanwhile: look again.
    if (!(error instanceof CompactedError)) throw error;
  }
  signal.throwIfAborted();
}

/** Deletes our key if it is still the one we made. Best effort: the lease takes it away otherwise. */
export async function withdraw(client: EtcdClient, place: Place): Promise<void> {
  await client
    .txn()
    .if(isOurs(place))
    .then(op.delete(place.key))
    .commit()
    .catch(() => undefined);
}

/** True of the store as long as `place` is ours. */
export function isOurs(place: Place): Compare {
  return compare.createRevision(place.key, "=", place.revision);
}

/** The state that a leadership and a held lock share. */
export class Owned implements Ownership {
  readonly key: string;
  readonly revision: number;
  protected readonly client: EtcdClient;
  protected readonly place: Place;
  protected readonly lease: Lease;
  readonly #abort = new AbortController();
  readonly #stop = new AbortController();

  constructor(client: EtcdClient, place: Place, lease: Lease) {
    this.client = client;
    this.place = place;
    this.lease = lease;
    this.key = place.key;
    this.revision = place.revision;
    lease.lost.addEventListener("abort", this.#onLeaseLost, { once: true });
    if (lease.lost.aborted) this.#onLeaseLost();
    void this.#watchKey();
  }

  get lost(): AbortSignal {
    return this.#abort.signal;
  }

  compare(): Compare {
    return isOurs(this.place);
  }

  /** Gives the key back, so that the next contender owns. @throws {EtcdError} when that is not certain */
  protected async giveUp(): Promise<void> {
    this.#end(new NotOwnerError(this.key));
    await this.client.txn().if(isOurs(this.place)).then(op.delete(this.key)).commit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.giveUp().catch(() => undefined);
  }

  readonly #onLeaseLost = () => this.#end(this.lease.lost.reason);

  #end(reason: unknown): void {
    this.lease.lost.removeEventListener("abort", this.#onLeaseLost);
    this.#stop.abort();
    if (!this.#abort.signal.aborted) this.#abort.abort(reason);
  }

  async #watchKey(): Promise<void> {
    const { key, revision } = this.place;
    try {
      await awaitDelete(this.client, new TextEncoder().encode(key), revision + 1, this.#stop.signal);
    } catch {
      if (this.#stop.signal.aborted) return;
    }
    // Deleted, or no longer to be known (compacted, refused): ask once.
    const mine = await this.client.get(key).catch((): KeyValue | undefined => undefined);
    if (mine?.createRevision !== revision) this.#end(new NotOwnerError(key));
    else if (!this.#stop.signal.aborted) void this.#watchKey();
  }
}

function firstKv(result: TxnResult, index: number): KeyValue | undefined {
  const part = result.results[index];
  return part?.type === "get" ? part.kvs[0] : undefined;
}

// Not narrowed by the compiler: it changes while we wait.
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

function both(lease: Lease, signal: AbortSignal | undefined): AbortSignal {
  return signal === undefined ? lease.lost : AbortSignal.any([lease.lost, signal]);
}
