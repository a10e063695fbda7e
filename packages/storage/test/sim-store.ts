import {
  expandRanges,
  type KvEntry,
  type KvStore,
  type ScanOptions,
  StoreClosedError,
  type WriteOp,
  type WriteOptions,
  WriteQueue,
} from "@keelson/storage";
import { type DiskMount, keyToBytes, type SimDisk } from "@keelson/testkit";
import type { Clock } from "@keelson/types";

/** Options of {@link SimStore}. */
export interface SimStoreOptions {
  readonly disk: SimDisk;
  /** The time of the machine: its view of the simulated clock. */
  readonly clock: Clock;
  /** How long an unsynced batch takes. Default 0.05. */
  readonly writeMs?: number;
}

const CHUNK_ENTRIES = 100;

/**
 * The simulated {@link KvStore}: the queue and range logic of the real one on a `SimDisk`. Making one mounts the disk, which ends
 * the hold of any earlier one: after `disk.crash(rng)` or `disk.killProcess()` make a new one. Promises of a dead store
 * never settle, as those of a dead process.
 */
export class SimStore implements KvStore {
  readonly #mount: DiskMount;
  readonly #clock: Clock;
  readonly #writeMs: number;
  readonly #queue: WriteQueue;
  #isClosed = false;

  constructor(options: SimStoreOptions) {
    this.#mount = options.disk.mount(options.clock);
    this.#clock = options.clock;
    this.#writeMs = options.writeMs ?? 0.05;
    this.#queue = new WriteQueue((ops, sync) => this.#apply(ops, sync));
  }

  get(key: Uint8Array): Uint8Array | undefined {
    if (this.#isClosed) throw new StoreClosedError();
    return this.#mount.get(key);
  }

  write(ops: readonly WriteOp[], options: WriteOptions): Promise<void> {
    return this.#queue.write(ops, options);
  }

  async *scan(options: ScanOptions = {}): AsyncIterable<readonly KvEntry[]> {
    if (this.#isClosed) throw new StoreClosedError();
    const keys = this.#mount.keys(options.gte, options.lt);
    if (options.reverse === true) keys.reverse();
    const entries = keys
      .slice(0, options.limit)
      .map((key): KvEntry => [keyToBytes(key), this.#mount.valueOf(key) as Uint8Array]);
    for (let i = 0; i < entries.length; i += CHUNK_ENTRIES) {
      // The real one reads each chunk in another thread.
      await Promise.resolve();
      yield entries.slice(i, i + CHUNK_ENTRIES);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#queue.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #apply(ops: readonly WriteOp[], sync: boolean): Promise<void> {
    const points = await expandRanges(ops, (gte, lt) => this.#scanKeys(gte, lt));
    if (points.length > 0) this.#mount.append(points);
    await (sync ? this.#mount.sync() : this.#delay());
  }

  async *#scanKeys(gte: Uint8Array, lt: Uint8Array): AsyncIterable<readonly Uint8Array[]> {
    yield this.#mount.keys(gte, lt).map(keyToBytes);
  }

  #delay(): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(this.#writeMs, () => {
        if (this.#mount.isAlive) resolve();
      });
    });
  }
}
