/** One change of a batch. Ranges are `[gte, lt)` in byte order. */
export type WriteOp =
  | { readonly type: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: "del"; readonly key: Uint8Array }
  | { readonly type: "delRange"; readonly gte: Uint8Array; readonly lt: Uint8Array };

/** Options of {@link KvStore.write}. */
export interface WriteOptions {
  /** True: resolve only when this and all earlier writes would survive a power cut. */
  readonly sync: boolean;
}

/** Options of {@link KvStore.scan}. Bounds left out are open. */
export interface ScanOptions {
  /** The first key. */
  readonly gte?: Uint8Array;
  /** The key after the last. */
  readonly lt?: Uint8Array;
  /** At most this many entries. */
  readonly limit?: number;
  /** From the last key to the first. */
  readonly reverse?: boolean;
}

/** A key and its value. */
export type KvEntry = readonly [key: Uint8Array, value: Uint8Array];

/**
 * The disk port: an ordered map of bytes to bytes with atomic batches. Keys may be empty. Real: {@link openLevelStore};
 * simulated: `SimStore` of `@keelson/storage/sim`; both pass `@keelson/storage/contract`.
 */
export interface KvStore extends AsyncDisposable {
  /** The value of a key as of the last completed write (perhaps one in flight). Do not change the result. */
  get(key: Uint8Array): Uint8Array | undefined;
  /**
   * Applies a batch: all of it or nothing, also across a crash. Writes complete in the order of the calls; those that wait
   * for one in flight share the next batch and fsync. The bytes may be reused once it resolved.
   *
   * @throws StoreWriteError when it failed. From then on the store refuses every write: after a failed fsync nobody knows
   * what is on the disk, so the only way on is to open it again.
   */
  write(ops: readonly WriteOp[], options: WriteOptions): Promise<void>;
  /** Entries in key order, in chunks of bounded size, as of the time of the first chunk. */
  scan(options?: ScanOptions): AsyncIterable<readonly KvEntry[]>;
  /** Waits for the writes asked for so far and closes. Closing twice is fine. */
  close(): Promise<void>;
}

/** Byte order: negative when `a` comes first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}
