// The order in which glib's hash table (ghash.c, 2.58 and later) gives its keys. Upstream's `--bootable` passes metadata
// through one, so that the order of the commit's metadata, hence its checksum, is the table's.

/** Moduli by table shift: the largest primes below the powers of two. */
const PRIMES = [1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749] as const;
const SHIFT_MIN = 3;
/** More keys than a commit has any use for. */
const KEYS_MAX = 10_000;

interface Slot {
  readonly key: string;
  readonly hash: number;
}

const utf8 = new TextEncoder();

/** `g_str_hash`: djb2 over signed chars; 0 and 1 are reserved for empty slots. */
function stringHash(key: string): number {
  let h = 5381;
  for (const byte of utf8.encode(key)) h = (Math.imul(h, 33) + ((byte << 24) >> 24)) >>> 0;
  return h < 2 ? 2 : h;
}

function shiftFor(size: number): number {
  let shift = 0;
  for (let n = size; n > 0; n >>= 1) shift++;
  return Math.max(shift, SHIFT_MIN);
}

class Table {
  #shift = SHIFT_MIN;
  #slots: (Slot | undefined)[] = Array.from({ length: 1 << SHIFT_MIN }, () => undefined);
  #count = 0;

  insert(key: string): void {
    const hash = stringHash(key);
    let index = this.#index(hash);
    for (let step = 1; ; step++) {
      const slot = this.#slots[index];
      if (slot === undefined) break;
      if (slot.hash === hash && slot.key === key) return;
      index = (index + step) & (this.#slots.length - 1);
    }
    this.#slots[index] = { key, hash };
    this.#count++;
    const size = this.#slots.length;
    if (size <= this.#count + Math.floor(this.#count / 16)) this.#grow();
  }

  keys(): string[] {
    return this.#slots.filter((slot) => slot !== undefined).map(({ key }) => key);
  }

  #index(hash: number): number {
    return (Math.imul(hash, 11) >>> 0) % (PRIMES[this.#shift] as number);
  }

  /** glib rehashes in place: an entry that lands on another takes its place, and that one moves on. */
  #grow(): void {
    const oldSize = this.#slots.length;
    this.#shift = shiftFor(Math.trunc(this.#count * 1.333));
    const slots = this.#slots;
    while (slots.length < 1 << this.#shift) slots.push(undefined);
    const settled = new Set<number>();
    for (let i = 0; i < oldSize; i++) {
      if (settled.has(i)) continue;
      let moving = slots[i];
      slots[i] = undefined;
      while (moving !== undefined) {
        let index = this.#index(moving.hash);
        for (let step = 1; settled.has(index); step++) index = (index + step) & (slots.length - 1);
        settled.add(index);
        const evicted: Slot | undefined = slots[index];
        slots[index] = moving;
        moving = evicted;
      }
    }
  }
}

/** The keys in the order in which a `GHashTable` with string keys yields them after being inserted in the order given. */
export function glibHashOrder(keys: readonly string[]): string[] {
  const table = new Table();
  for (const key of keys.slice(0, KEYS_MAX)) table.insert(key);
  return table.keys();
}
