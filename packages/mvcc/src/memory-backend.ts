import type { MvccBackend } from "./backend.ts";
import { bytesToKey, keyToBytes } from "./bytes.ts";

/** A backend in a Map: for tests and for embedding without persistence. */
export class MemoryBackend implements MvccBackend {
  readonly #map = new Map<string, Uint8Array>();

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#map.get(bytesToKey(key));
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#map.set(bytesToKey(key), value);
  }

  delete(key: Uint8Array): void {
    this.#map.delete(bytesToKey(key));
  }

  get size(): number {
    return this.#map.size;
  }

  /** Everything, in key order, as a scan of a real store gives it. */
  entries(): (readonly [Uint8Array, Uint8Array])[] {
    const keys = [...this.#map.keys()].sort((a, b) => (a < b ? -1 : 1));
    return keys.map((key) => [keyToBytes(key), this.#map.get(key) as Uint8Array]);
  }
}
