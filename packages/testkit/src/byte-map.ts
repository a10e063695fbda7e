/** Bytes as a string of one UTF-16 unit per byte: a Map key that sorts as the bytes do. */
export function bytesToKey(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** The inverse of {@link bytesToKey}. */
export function keyToBytes(key: string): Uint8Array {
  return new Uint8Array(Buffer.from(key, "latin1"));
}

/** A map with keys in byte order: a hash map beside a sorted array, fast enough for tests of some 100,000 keys. */
export class ByteMap {
  readonly #values: Map<string, Uint8Array>;
  readonly #sorted: string[];

  constructor(from?: ByteMap) {
    this.#values = new Map(from === undefined ? undefined : from.#values);
    this.#sorted = from === undefined ? [] : [...from.#sorted];
  }

  get size(): number {
    return this.#values.size;
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: Uint8Array): void {
    const before = this.#values.size;
    this.#values.set(key, value);
    if (this.#values.size === before) return;
    const last = this.#sorted.at(-1);
    if (last === undefined || last < key) this.#sorted.push(key);
    else this.#sorted.splice(this.#lowerBound(key), 0, key);
  }

  delete(key: string): void {
    if (this.#values.delete(key)) this.#sorted.splice(this.#lowerBound(key), 1);
  }

  /** Removes the keys in `[gte, lt)`. */
  deleteRange(gte: string, lt: string): void {
    const from = this.#lowerBound(gte);
    const to = Math.max(from, this.#lowerBound(lt));
    for (const key of this.#sorted.splice(from, to - from)) this.#values.delete(key);
  }

  /** The keys in `[gte, lt)`, in order; bounds may be left out. */
  keys(gte?: string, lt?: string): string[] {
    const from = gte === undefined ? 0 : this.#lowerBound(gte);
    const to = lt === undefined ? this.#sorted.length : this.#lowerBound(lt);
    return this.#sorted.slice(from, Math.max(from, to));
  }

  #lowerBound(key: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#sorted[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
