import type { KvEntry, KvStore, ScanOptions, WriteOp } from "@keelson/storage";
import { latin1 } from "./applied-store.ts";

const CHUNK_ENTRIES = 1_000;

/** A {@link KvStore} that forgets everything with the process: for tests and caches, where a disk would only cost time. */
export class MemoryStore implements KvStore {
  readonly #map = new Map<string, Uint8Array>();

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#map.get(latin1(key));
  }

  async write(ops: readonly WriteOp[]): Promise<void> {
    for (const op of ops) {
      if (op.type === "put") this.#map.set(latin1(op.key), new Uint8Array(op.value));
      else if (op.type === "del") this.#map.delete(latin1(op.key));
      else for (const key of this.#keys(latin1(op.gte), latin1(op.lt))) this.#map.delete(key);
    }
  }

  async *scan(options: ScanOptions = {}): AsyncGenerator<readonly KvEntry[]> {
    const keys = this.#keys(options.gte && latin1(options.gte), options.lt && latin1(options.lt)).sort();
    if (options.reverse === true) keys.reverse();
    // Copied now: a scan shows one moment.
    const entries = keys
      .slice(0, options.limit ?? keys.length)
      .map((key): KvEntry => [Buffer.from(key, "latin1"), this.#map.get(key) as Uint8Array]);
    for (let i = 0; i < entries.length; i += CHUNK_ENTRIES) yield entries.slice(i, i + CHUNK_ENTRIES);
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  #keys(gte: string | undefined, lt: string | undefined): string[] {
    return [...this.#map.keys()].filter((key) => (gte === undefined || key >= gte) && (lt === undefined || key < lt));
  }
}
