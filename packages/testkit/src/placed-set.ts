/**
 * Which operations a search has placed, with an exact and short key: nearly all early ones of known outcome are placed, so the
 * key is the first that is not, the later ones that are, and the placed ones of unknown outcome.
 */
export class PlacedSet {
  readonly #known: Uint8Array;
  readonly #unknown = new Set<number>();
  /** The first known one that is not placed. */
  #low = 0;
  /** The last known one that is, or -1. */
  #high = -1;
  #count = 0;

  constructor(known: number) {
    this.#known = new Uint8Array(known);
  }

  /** Operations of known outcome that are not placed. */
  get knownLeft(): number {
    return this.#known.length - this.#count;
  }

  addKnown(number: number): void {
    this.#known[number] = 1;
    this.#count++;
    this.#high = Math.max(this.#high, number);
    while (this.#known[this.#low] === 1) this.#low++;
  }

  removeKnown(number: number): void {
    this.#known[number] = 0;
    this.#count--;
    this.#low = Math.min(this.#low, number);
    while (this.#high >= 0 && this.#known[this.#high] === 0) this.#high--;
  }

  addUnknown(index: number): void {
    this.#unknown.add(index);
  }

  removeUnknown(index: number): void {
    this.#unknown.delete(index);
  }

  hasUnknown(index: number): boolean {
    return this.#unknown.has(index);
  }

  key(): string {
    let key = `${this.#low}`;
    for (let i = this.#low + 1; i <= this.#high; i++) if (this.#known[i] === 1) key += `,${i}`;
    if (this.#unknown.size === 0) return key;
    return `${key}?${[...this.#unknown].toSorted((a, b) => a - b).join(",")}`;
  }
}
