import { bytesKey } from "./bytes-key.ts";
import type { KvStore, WriteOp, WriteOptions } from "./kv-store.ts";

/** Changes taken from a {@link BufferedKv}. */
export interface TakenBatch {
  readonly ops: readonly WriteOp[];
  /** To be called when the batch is written: from now on the store below shows it. */
  written(): void;
}

interface Change {
  /** Undefined: deleted. */
  readonly value: Uint8Array | undefined;
  readonly batch: number;
}

/**
 * Lets a synchronous core (`MvccStore`, a Raft log) change a {@link KvStore}: `put` and `delete` are seen by `get` at once and are
 * collected, in order, into one batch. A change stays visible here until its batch is written, so there is no moment in
 * which neither side shows it. Keys and values are kept by reference: do not change them.
 */
export class BufferedKv {
  readonly #below: Pick<KvStore, "get">;
  readonly #changes = new Map<string, Change>();
  #ops: WriteOp[] = [];
  #batch = 1;

  constructor(below: Pick<KvStore, "get">) {
    this.#below = below;
  }

  /** Changes collected since the last `take`. */
  get pending(): number {
    return this.#ops.length;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const change = this.#changes.get(bytesKey(key));
    return change === undefined ? this.#below.get(key) : change.value;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#ops.push({ type: "put", key, value });
    this.#changes.set(bytesKey(key), { value, batch: this.#batch });
  }

  delete(key: Uint8Array): void {
    this.#ops.push({ type: "del", key });
    this.#changes.set(bytesKey(key), { value: undefined, batch: this.#batch });
  }

  /** Takes the changes collected so far. Batches must be written in the order in which they were taken. */
  take(): TakenBatch {
    const batch = this.#batch++;
    const ops = this.#ops;
    this.#ops = [];
    return { ops, written: () => this.#forget(ops, batch) };
  }

  /** Takes the changes and writes them, with `more` after them in the same batch. */
  async writeTo(store: KvStore, options: WriteOptions, more: readonly WriteOp[] = []): Promise<void> {
    const taken = this.take();
    await store.write(more.length === 0 ? taken.ops : [...taken.ops, ...more], options);
    taken.written();
  }

  #forget(ops: readonly WriteOp[], batch: number): void {
    for (const op of ops) {
      if (op.type === "delRange") continue;
      const key = bytesKey(op.key);
      // A later change of the same key is not written yet.
      if ((this.#changes.get(key)?.batch ?? batch + 1) <= batch) this.#changes.delete(key);
    }
  }
}
