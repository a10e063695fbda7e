import { assert, type Random } from "@keelson/types";

const TWO_32 = 2 ** 32;

/**
 * A seeded {@link Random}: the small fast counting generator sfc32, which passes the usual statistical batteries.
 * Not for secrets. The same seed gives the same numbers on every machine.
 */
export class Prng implements Random {
  /** What this generator was seeded with, as text; forks add `/label`. */
  readonly seed: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number | bigint | string) {
    this.seed = String(seed);
    [this.#a, this.#b, this.#c] = expandSeed(this.seed);
    for (let i = 0; i < 15; i++) this.u32();
  }

  /** An integer in `[0, 2^32)`. */
  u32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    this.#c |= 0;
    return t >>> 0;
  }

  /** An unsigned 64-bit integer. */
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** A safe integer in `[0, bound)`, without modulo bias. */
  below(bound: number): number {
    assert(Number.isSafeInteger(bound) && bound >= 1, "bound is a safe integer of at least 1", { bound });
    const range = bound <= TWO_32 ? TWO_32 : 2 ** 53;
    const limit = range - (range % bound);
    for (;;) {
      const n = range === TWO_32 ? this.u32() : (this.u32() >>> 11) * TWO_32 + this.u32();
      if (n < limit) return n % bound;
    }
  }

  /** A safe integer in `[min, max]`. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  /** A float in `[0, 1)` with 32 random bits. */
  float(): number {
    return this.u32() / TWO_32;
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** One of `items`, which is not empty. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** A shuffled copy. */
  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [out[i], out[j]] = [out[j] as T, out[i] as T];
    }
    return out;
  }

  /** `length` random bytes. */
  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = this.u32();
    return out;
  }

  /**
   * An independent generator named by `label`. It depends on this generator's seed only, not on how much was drawn
   * from it, so a new draw in one part of a simulation does not change the numbers of another part.
   */
  fork(label: string | number | bigint): Prng {
    return new Prng(`${this.seed}/${label}`);
  }
}

/** FNV-1a over the text, finished by splitmix32, once for each of the three words of state. */
function expandSeed(text: string): [number, number, number] {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  const next = () => {
    h = (h + 0x9e3779b9) | 0;
    let z = h;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return z ^ (z >>> 15);
  };
  return [next(), next(), next()];
}
