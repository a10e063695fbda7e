import { isNoSpace, StoreClosedError, StoreWriteError } from "./errors.ts";
import type { WriteOp, WriteOptions } from "./kv-store.ts";

interface Waiting {
  readonly ops: readonly WriteOp[];
  readonly sync: boolean;
  readonly bytes: number;
  readonly hasRange: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Applies one atomic batch; `sync` as in `KvStore.write`. */
export type ApplyBatch = (ops: readonly WriteOp[], sync: boolean) => Promise<void>;

/** Waiting writes are merged up to this size. A single larger write still goes through as one batch. */
const GROUP_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Orders writes and groups them: one batch is in flight, and what is asked for meanwhile shares the next one. Holds no
 * timer and knows no disk, so the real and the simulated store behave alike.
 */
export class WriteQueue {
  readonly #apply: ApplyBatch;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #failure: StoreWriteError | undefined;
  #closed = false;

  constructor(apply: ApplyBatch) {
    this.#apply = apply;
  }

  /** What made the queue refuse writes. */
  get failure(): StoreWriteError | undefined {
    return this.#failure;
  }

  write(ops: readonly WriteOp[], options: WriteOptions): Promise<void> {
    if (this.#closed) return Promise.reject(new StoreClosedError());
    if (this.#failure !== undefined) return Promise.reject(refusal(this.#failure));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const hasRange = ops.some((op) => op.type === "delRange");
    this.#waiting.push({ ops, sync: options.sync, bytes: sizeOf(ops), hasRange, resolve, reject });
    this.#running ??= this.#run();
    return promise;
  }

  /** Refuses new writes and waits for those asked for. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#apply(group.length === 1 ? (group[0] as Waiting).ops : group.flatMap((w) => w.ops), hasSync(group));
        for (const w of group) w.resolve();
      } catch (error) {
        this.#fail(group, error);
      }
    }
    this.#running = undefined;
  }

  /** A write with a range delete goes alone: what the range holds must be read when all before it is written. */
  #takeGroup(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const w of this.#waiting) {
      if (count > 0 && (bytes + w.bytes > GROUP_BYTES_MAX || w.hasRange)) break;
      bytes += w.bytes;
      count++;
      if (w.hasRange) break;
    }
    return this.#waiting.splice(0, count);
  }

  #fail(group: readonly Waiting[], error: unknown): void {
    const failure = asWriteError(error);
    for (const w of group) w.reject(failure);
    // Nothing was touched by a refused range, so the store is as good as before.
    if (failure.reason === "too-large") return;
    this.#failure = failure;
    for (const w of this.#waiting.splice(0)) w.reject(refusal(failure));
  }
}

function asWriteError(error: unknown): StoreWriteError {
  if (error instanceof StoreWriteError) return error;
  if (isNoSpace(error)) return new StoreWriteError("no-space", "write failed: no space left", { cause: error });
  return new StoreWriteError("io", "write failed", { cause: error });
}

function refusal(failure: StoreWriteError): StoreWriteError {
  return new StoreWriteError("refused", "an earlier write failed; open the store again", { cause: failure });
}

function hasSync(group: readonly Waiting[]): boolean {
  return group.some((w) => w.sync);
}

function sizeOf(ops: readonly WriteOp[]): number {
  let bytes = 0;
  for (const op of ops) bytes += op.type === "put" ? op.key.length + op.value.length : 32;
  return bytes;
}
