import type { MvccBackend } from "@keelson/mvcc";
import type { KvStore, WriteOp } from "@keelson/storage";
import { generationPrefix, join } from "./core/keys.ts";

interface Pending {
  /** Undefined: deleted. */
  readonly value: Uint8Array | undefined;
  readonly batch: number;
}

/** Changes that are to go into a batch. */
export interface TakenChanges {
  readonly ops: readonly WriteOp[];
  /** The batch is in the store. */
  readonly written: () => void;
}

/**
 * One generation of the applied state on a {@link KvStore}. Changes are visible to `get` at once and gathered until
 * they go along with a batch of the log, or in one of their own without fsync: a crash loses at most a suffix of batches, and
 * each names the log index it ends at, from which the log is replayed.
 */
export class AppliedStore implements MvccBackend {
  readonly generation: number;
  readonly #store: KvStore;
  readonly #prefix: Uint8Array;
  readonly #prefixText: string;
  /** Everything not known to be in the store yet, by the key as text. */
  readonly #pending = new Map<string, Pending>();
  #dirty = new Map<string, Uint8Array | undefined>();
  #batch = 1;
  #pendingBytes = 0;
  #dirtyBytes = 0;

  constructor(store: KvStore, generation: number) {
    this.#store = store;
    this.generation = generation;
    this.#prefix = generationPrefix(generation);
    this.#prefixText = latin1(this.#prefix);
  }

  get(key: Uint8Array): Uint8Array | undefined {
    if (this.#pending.size > 0) {
      const pending = this.#pending.get(latin1(key));
      if (pending !== undefined) return pending.value;
    }
    return this.#store.get(join(this.#prefix, key));
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#set(latin1(key), value);
  }

  delete(key: Uint8Array): void {
    this.#set(latin1(key), undefined);
  }

  /** Bytes of changes not handed over yet. */
  get dirtyBytes(): number {
    return this.#dirtyBytes;
  }

  /** Bytes handed over and not written yet. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * Takes all changes since the last time, as operations of one batch; undefined when there are none. `written` is to be
   * called when the store has them.
   */
  take(): TakenChanges | undefined {
    if (this.#dirty.size === 0) return undefined;
    const dirty = this.#dirty;
    const bytes = this.#dirtyBytes;
    const batch = this.#batch++;
    this.#dirty = new Map();
    this.#dirtyBytes = 0;
    this.#pendingBytes += bytes;
    const written = () => {
      this.#pendingBytes -= bytes;
      for (const key of dirty.keys()) {
        // A later batch may have changed it again.
        if (this.#pending.get(key)?.batch === batch) this.#pending.delete(key);
      }
    };
    return { ops: this.#ops(dirty), written };
  }

  #set(key: string, value: Uint8Array | undefined): void {
    this.#pending.set(key, { value, batch: this.#batch });
    this.#dirty.set(key, value);
    this.#dirtyBytes += key.length + (value?.length ?? 0) + 64;
  }

  #ops(dirty: ReadonlyMap<string, Uint8Array | undefined>): WriteOp[] {
    const ops: WriteOp[] = [];
    for (const [text, value] of dirty) {
      const key = Buffer.from(this.#prefixText + text, "latin1");
      ops.push(value === undefined ? { type: "del", key } : { type: "put", key, value });
    }
    return ops;
  }
}

/** Bytes as text, one character each. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
