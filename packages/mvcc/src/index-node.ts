/** Keys of a leaf, and kids of an inner node, at most. */
export const FANOUT = 64;
/** Numbers per key in a leaf: modRevision, where, createRevision, version. */
export const STRIDE = 4;
const TWO_32 = 2 ** 32;

/**
 * Old revisions of one key, ascending, as pairs (main, 2 * sub + tombstone). Absent for most keys.
 */
export type History = number[];

export type Node = Leaf | Inner;

/**
 * A leaf of the key index. Per key, four doubles side by side instead of an object:
 *
 * - modRevision of the latest change;
 * - where its record is: `sub * 2^32 + body checksum`; of a tombstone only `sub`;
 * - createRevision, 0 for a tombstone;
 * - version, negative if the key has a lease, 0 for a tombstone.
 */
export class Leaf {
  readonly leaf = true;
  n = 0;
  /** Keys that exist at the latest revision. */
  live = 0;
  /** No change below this node is later (it may be earlier, after a compaction). */
  maxMod = 0;
  readonly keys: string[] = Array.from({ length: FANOUT }, () => "");
  readonly nums = new Float64Array(FANOUT * STRIDE);
  hist: (History | undefined)[] | undefined;
  prev: Leaf | undefined;
  next: Leaf | undefined;

  insert(at: number, key: string): void {
    const { keys, nums, hist, n } = this;
    for (let i = n; i > at; i--) keys[i] = keys[i - 1] as string;
    keys[at] = key;
    nums.copyWithin((at + 1) * STRIDE, at * STRIDE, n * STRIDE);
    nums.fill(0, at * STRIDE, (at + 1) * STRIDE);
    if (hist !== undefined) {
      for (let i = n; i > at; i--) hist[i] = hist[i - 1];
      hist[at] = undefined;
    }
    this.n = n + 1;
  }

  remove(at: number): void {
    const { keys, nums, hist, n } = this;
    for (let i = at; i < n - 1; i++) keys[i] = keys[i + 1] as string;
    keys[n - 1] = "";
    nums.copyWithin(at * STRIDE, (at + 1) * STRIDE, n * STRIDE);
    if (hist !== undefined) {
      for (let i = at; i < n - 1; i++) hist[i] = hist[i + 1];
      hist[n - 1] = undefined;
    }
    this.n = n - 1;
  }

  /** Moves the keys from `at` on to the end of `to`. */
  moveTail(at: number, to: Leaf): void {
    const count = this.n - at;
    for (let i = 0; i < count; i++) {
      to.keys[to.n + i] = this.keys[at + i] as string;
      this.keys[at + i] = "";
    }
    to.nums.set(this.nums.subarray(at * STRIDE, this.n * STRIDE), to.n * STRIDE);
    if (this.hist !== undefined) {
      for (let i = 0; i < count; i++) {
        const history = this.hist[at + i];
        if (history !== undefined) to.setHistory(to.n + i, history);
        this.hist[at + i] = undefined;
      }
    }
    to.n += count;
    this.n = at;
    this.recount();
    to.recount();
  }

  setHistory(at: number, history: History | undefined): void {
    if (this.hist === undefined) {
      if (history === undefined) return;
      this.hist = Array.from({ length: FANOUT }, () => undefined);
    }
    this.hist[at] = history;
  }

  recount(): void {
    let live = 0;
    let maxMod = 0;
    for (let i = 0; i < this.n; i++) {
      if (this.version(i) !== 0) live++;
      if (this.mod(i) > maxMod) maxMod = this.mod(i);
    }
    this.live = live;
    this.maxMod = maxMod;
  }

  mod(i: number): number {
    return this.nums[i * STRIDE] as number;
  }

  /** Sub-revision of the latest change. */
  sub(i: number): number {
    const where = this.nums[i * STRIDE + 1] as number;
    return this.nums[i * STRIDE + 3] === 0 ? where : Math.floor(where / TWO_32);
  }

  /** Body checksum of the latest put. */
  crc(i: number): number {
    return (this.nums[i * STRIDE + 1] as number) % TWO_32;
  }

  create(i: number): number {
    return this.nums[i * STRIDE + 2] as number;
  }

  /** 0 if the latest change is a delete. */
  version(i: number): number {
    return Math.abs(this.nums[i * STRIDE + 3] as number);
  }

  leased(i: number): boolean {
    return (this.nums[i * STRIDE + 3] as number) < 0;
  }

  set(i: number, mod: number, where: number, create: number, version: number): void {
    const at = i * STRIDE;
    this.nums[at] = mod;
    this.nums[at + 1] = where;
    this.nums[at + 2] = create;
    this.nums[at + 3] = version;
  }
}

/** An inner node: `keys[i]` is at most every key below `kids[i]`; `keys[0]` is not looked at. */
export class Inner {
  readonly leaf = false;
  live = 0;
  maxMod = 0;
  readonly keys: string[];
  readonly kids: Node[];

  constructor(keys: string[], kids: Node[]) {
    this.keys = keys;
    this.kids = kids;
    this.recount();
  }

  recount(): void {
    let live = 0;
    let maxMod = 0;
    for (const kid of this.kids) {
      live += kid.live;
      if (kid.maxMod > maxMod) maxMod = kid.maxMod;
    }
    this.live = live;
    this.maxMod = maxMod;
  }

  /** The kid in which `key` is or would be. */
  childOf(key: string): number {
    let lo = 1;
    let hi = this.kids.length;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if ((this.keys[mid] as string) <= key) lo = mid + 1;
      else hi = mid;
    }
    return lo - 1;
  }
}

/** The first slot of a leaf whose key is at or after `key`. */
export function lowerBound(leaf: Leaf, key: string): number {
  let lo = 0;
  let hi = leaf.n;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if ((leaf.keys[mid] as string) < key) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

export function packWhere(sub: number, crc: number): number {
  return sub * TWO_32 + crc;
}
