/**
 * Where revisions are kept. Synchronous: a write is visible to `get` at once, and the caller makes everything written
 * between two of its own points one atomic batch (with its applied index, say). `MvccStore` never reads or writes
 * outside the one-byte prefix it was given.
 *
 * Byte arrays that were put or returned belong to both sides and are never changed.
 */
export interface MvccBackend {
  get(key: Uint8Array): Uint8Array | undefined;
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
}
