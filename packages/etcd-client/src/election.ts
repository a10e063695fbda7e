import type { EtcdClient } from "./client.ts";
import { awaitTurn, enqueue, isOurs, Owned, type Place, withdraw } from "./contend.ts";
import { CompactedError, NotOwnerError } from "./errors.ts";
import type { KeyValue } from "./key-value.ts";
import { compareBytes, toBytes } from "./keys.ts";
import { op } from "./txn.ts";
import type { Bytes, CallLimits, ContendOptions, Election, HeldLock, Leadership, Lease, Mutex } from "./types.ts";

class OwnedLeadership extends Owned implements Leadership {
  async proclaim(value: Bytes): Promise<void> {
    await proclaim(this.client, this.place, this.lease, value);
  }

  resign(): Promise<void> {
    return this.giveUp();
  }
}

class OwnedLock extends Owned implements HeldLock {
  release(): Promise<void> {
    return this.giveUp();
  }
}

/** One election by its name, as clientv3/concurrency's Election. */
export class EtcdElection implements Election {
  readonly #client: EtcdClient;
  readonly #name: string;

  constructor(client: EtcdClient, name: string) {
    this.#client = client;
    this.#name = name;
  }

  async campaign(value: Bytes, options: ContendOptions): Promise<Leadership> {
    const queued = await enqueue(this.#client, this.#name, value, options);
    try {
      if (queued.value !== undefined && compareBytes(queued.value, toBytes(value)) !== 0) {
        await proclaim(this.#client, queued.place, options.lease, value);
      }
      if (!queued.first) await awaitTurn(this.#client, queued.place, options);
    } catch (error) {
      await withdraw(this.#client, queued.place);
      throw error;
    }
    return new OwnedLeadership(this.#client, queued.place, options.lease);
  }

  async leader(limits: CallLimits = {}): Promise<KeyValue | undefined> {
    return (await this.#oldest(limits)).kv;
  }

  async *observe(options: { readonly signal?: AbortSignal | undefined } = {}): AsyncGenerator<KeyValue> {
    const { signal } = options;
    while (signal?.aborted !== true) {
      let { kv, revision } = await this.#oldest({ signal });
      if (kv === undefined) {
        kv = await this.#firstPut(revision + 1, signal);
        if (kv === undefined) continue;
        revision = kv.modRevision;
      }
      yield kv;
      try {
        for await (const { events } of this.#client.watch({ key: kv.key, startRevision: revision + 1, signal })) {
          for (const event of events) if (event.type === "put") yield event.kv;
          if (events.some((event) => event.type === "delete")) break;
        }
      } catch (error) {
        if (!(error instanceof CompactedError)) throw error;
      }
    }
  }

  async #firstPut(startRevision: number, signal: AbortSignal | undefined): Promise<KeyValue | undefined> {
    try {
      const watch = this.#client.watch({ prefix: `${this.#name}/`, startRevision, filters: ["nodelete"], signal });
      for await (const { events } of watch) if (events[0] !== undefined) return events[0].kv;
    } catch (error) {
      if (!(error instanceof CompactedError)) throw error;
    }
    return undefined;
  }

  async #oldest(limits: CallLimits): Promise<{ kv: KeyValue | undefined; revision: number }> {
    const { kvs, revision } = await this.#client.range(
      { prefix: `${this.#name}/` },
      { sort: { by: "create", order: "ascend" }, limit: 1, ...limits },
    );
    return { kv: kvs[0], revision };
  }
}

/** One lock by its name, as clientv3/concurrency's Mutex. */
export class EtcdMutex implements Mutex {
  readonly #client: EtcdClient;
  readonly #name: string;

  constructor(client: EtcdClient, name: string) {
    this.#client = client;
    this.#name = name;
  }

  async acquire(options: ContendOptions): Promise<HeldLock> {
    const { place, first } = await enqueue(this.#client, this.#name, "", options);
    try {
      if (!first) await awaitTurn(this.#client, place, options);
    } catch (error) {
      await withdraw(this.#client, place);
      throw error;
    }
    return new OwnedLock(this.#client, place, options.lease);
  }

  async tryAcquire(options: ContendOptions): Promise<HeldLock | undefined> {
    const { place, first } = await enqueue(this.#client, this.#name, "", options);
    if (first) return new OwnedLock(this.#client, place, options.lease);
    await withdraw(this.#client, place);
    return undefined;
  }
}

async function proclaim(client: EtcdClient, place: Place, lease: Lease, value: Bytes): Promise<void> {
  const put = op.put(place.key, value, { lease: lease.id });
  const { succeeded } = await client.txn().if(isOurs(place)).then(put).commit();
  if (!succeeded) throw new NotOwnerError(place.key);
}
