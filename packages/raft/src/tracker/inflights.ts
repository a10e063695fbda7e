import { broken } from "../errors.ts";

/**
 * The window of append messages that were sent and not yet acknowledged, limited by count and by bytes.
 * The byte limit is soft: the message that crosses it is still accepted.
 *
 * A ring of two parallel number arrays that doubles on demand, as a node may track many peers that never fill it.
 */
export class Inflights {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  #start = 0;
  #count = 0;
  #bytes = 0;
  #capacity = 0;
  /** Index of the last entry of each message; ascending from `#start`. */
  #indexes: number[] = [];
  #sizes: number[] = [];

  /** @param maxBytes 0 or infinity for no limit */
  constructor(maxCount: number, maxBytes: number) {
    this.#maxCount = maxCount;
    this.#maxBytes = maxBytes === 0 ? Number.POSITIVE_INFINITY : maxBytes;
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of payload in flight. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether nothing more may be sent for now. */
  get full(): boolean {
    return this.#count === this.#maxCount || this.#bytes >= this.#maxBytes;
  }

  /** Records a message whose last entry is `index`. Call only when not {@link full}; indexes ascend. */
  add(index: number, bytes: number): void {
    if (this.full) broken("cannot add into a full Inflights");
    if (this.#count === this.#capacity) this.#grow();
    const at = (this.#start + this.#count) % this.#capacity;
    this.#indexes[at] = index;
    this.#sizes[at] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  /** Frees every message whose last entry is at or below `index`. */
  freeUpTo(index: number): void {
    while (this.#count > 0 && (this.#indexes[this.#start] as number) <= index) {
      this.#bytes -= this.#sizes[this.#start] as number;
      this.#start = this.#start + 1 === this.#capacity ? 0 : this.#start + 1;
      this.#count--;
    }
    if (this.#count === 0) this.#start = 0;
  }

  reset(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  #grow(): void {
    const capacity = Math.min(Math.max(1, this.#capacity * 2), this.#maxCount);
    const indexes: number[] = [];
    const sizes: number[] = [];
    for (let i = 0; i < this.#count; i++) {
      const at = (this.#start + i) % this.#capacity;
      indexes.push(this.#indexes[at] as number);
      sizes.push(this.#sizes[at] as number);
    }
    while (indexes.length < capacity) {
      indexes.push(0);
      sizes.push(0);
    }
    this.#indexes = indexes;
    this.#sizes = sizes;
    this.#start = 0;
    this.#capacity = capacity;
  }
}
