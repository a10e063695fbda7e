import { assert, type Revision } from "@keelson/types";
import { FANOUT, type History, Inner, Leaf, lowerBound, type Node, packWhere } from "./index-node.ts";
import type { KeyRange } from "./key-range.ts";

/** Called with the place of a key; returning false ends a walk. */
export type Visit = (leaf: Leaf, at: number) => boolean | void;

/**
 * Every key with its revisions since the last compaction: a B+ tree with counts of living keys, in memory.
 *
 * What upstream's `key_index.go` keeps as generations is kept here as one ascending list per key whose tombstones end
 * the generations; the latest change is stored flat in the leaf, older ones in a list that most keys do not have.
 * A key changes at most once per main revision.
 */
export class KeyIndex {
  #root: Node = new Leaf();
  readonly #pathNodes: Inner[] = [];
  readonly #pathKids: number[] = [];
  /** Where {@link seek} ended: the place of the key, or where it would be inserted. */
  leaf: Leaf = this.#root as Leaf;
  at = 0;
  /** Keys in the tree, deleted ones included. */
  size = 0;

  /** Keys that exist at the latest revision. */
  get live(): number {
    return this.#root.live;
  }

  /** Goes to a key; true if it is in the tree (perhaps deleted). The place is good until the next change. */
  seek(key: string): boolean {
    let node = this.#root;
    this.#pathNodes.length = 0;
    this.#pathKids.length = 0;
    while (!node.leaf) {
      const i = node.childOf(key);
      this.#pathNodes.push(node);
      this.#pathKids.push(i);
      node = node.kids[i] as Node;
    }
    this.leaf = node;
    this.at = lowerBound(node, key);
    return this.at < node.n && node.keys[this.at] === key;
  }

  /** Records a put of the key that was sought last. */
  put(key: string, found: boolean, rev: IndexPut): void {
    const wasLive = found && this.leaf.version(this.at) !== 0;
    const where = packWhere(rev.sub, rev.crc);
    this.#change(key, found, rev.main);
    this.leaf.set(this.at, rev.main, where, rev.create, rev.leased ? -rev.version : rev.version);
    this.#touch(rev.main, wasLive ? 0 : 1);
  }

  /** Records a delete of the key that was sought last. A key unknown so far is one whose life was compacted. */
  tombstone(key: string, found: boolean, main: Revision, sub: number): void {
    const wasLive = found && this.leaf.version(this.at) !== 0;
    this.#change(key, found, main);
    this.leaf.set(this.at, main, sub, 0, 0);
    this.#touch(main, wasLive ? -1 : 0);
  }

  /** Makes room for a new latest change at the sought place. */
  #change(key: string, found: boolean, main: Revision): void {
    if (!found) {
      this.#insert(key);
      return;
    }
    const { leaf, at } = this;
    assert(leaf.mod(at) < main, "a key changes at most once per revision, in order", { main, mod: leaf.mod(at) });
    const old = leaf.mod(at);
    const packed = 2 * leaf.sub(at) + (leaf.version(at) === 0 ? 1 : 0);
    const history = leaf.hist?.[at];
    // A push would reserve room for 16 more: too much for the many keys with one old revision.
    if (history === undefined) leaf.setHistory(at, [old, packed]);
    else if (history.length < 16) leaf.setHistory(at, [...history, old, packed]);
    else history.push(old, packed);
  }

  #touch(main: Revision, liveDelta: number): void {
    this.leaf.live += liveDelta;
    if (main > this.leaf.maxMod) this.leaf.maxMod = main;
    for (const node of this.#pathNodes) {
      node.live += liveDelta;
      if (main > node.maxMod) node.maxMod = main;
    }
  }

  #insert(key: string): void {
    this.size++;
    if (this.leaf.n === FANOUT) this.#splitLeaf();
    this.leaf.insert(this.at, key);
  }

  #splitLeaf(): void {
    const { leaf, at } = this;
    // Keys that ascend, as a whole or within a prefix, fill their leaves: a key at the end takes one neighbour along.
    const cut = at === FANOUT ? FANOUT - 1 : FANOUT >>> 1;
    const right = new Leaf();
    leaf.moveTail(cut, right);
    right.next = leaf.next;
    right.prev = leaf;
    if (leaf.next !== undefined) leaf.next.prev = right;
    leaf.next = right;
    const goesRight = at > cut;
    this.#addKid(this.#pathNodes.length - 1, right.keys[0] as string, right, goesRight);
    if (goesRight) {
      this.leaf = right;
      this.at = at - cut;
    }
  }

  /**
   * Puts a new node to the right of the path's kid at `level`, splitting upwards. Keeps the path's nodes on the key's side,
   * for {@link #touch}; which kid of each it was is not needed any more.
   */
  #addKid(level: number, key: string, node: Node, goesRight: boolean): void {
    if (level < 0) {
      const root = new Inner(["", key], [this.#root, node]);
      this.#root = root;
      this.#pathNodes.unshift(root);
      return;
    }
    const parent = this.#pathNodes[level] as Inner;
    const kid = this.#pathKids[level] as number;
    parent.keys.splice(kid + 1, 0, key);
    parent.kids.splice(kid + 1, 0, node);
    const mine = goesRight ? kid + 1 : kid;
    if (parent.kids.length <= FANOUT) return;
    const edge = kid + 1 === FANOUT;
    const cut = edge ? FANOUT : (FANOUT + 1) >>> 1;
    const right = new Inner(parent.keys.splice(cut), parent.kids.splice(cut));
    parent.recount();
    const onRight = mine >= cut;
    this.#addKid(level - 1, right.keys[0] as string, right, onRight);
    // The path grew by one level if the root was split.
    if (onRight) this.#pathNodes[this.#pathNodes.indexOf(parent)] = right;
  }

  /** Takes the sought key out of the tree (its tombstone was compacted). */
  remove(): void {
    const { leaf, at } = this;
    assert(leaf.version(at) === 0, "only a deleted key leaves the index");
    leaf.remove(at);
    this.size--;
    if (leaf.n < FANOUT >>> 2) this.#shrink(leaf);
  }

  /** Drops an empty leaf; joins a small one with its right or left neighbour under the same parent. */
  #shrink(leaf: Leaf): void {
    const level = this.#pathNodes.length - 1;
    if (level < 0) return;
    const parent = this.#pathNodes[level] as Inner;
    const kid = this.#pathKids[level] as number;
    const left = parent.kids[kid - 1] as Leaf | undefined;
    const right = parent.kids[kid + 1] as Leaf | undefined;
    if (leaf.n === 0) this.#dropKid(level, kid, leaf);
    else if (left !== undefined && left.n + leaf.n <= (FANOUT * 3) >>> 2) {
      leaf.moveTail(0, left);
      this.#dropKid(level, kid, leaf);
    } else if (right !== undefined && right.n + leaf.n <= (FANOUT * 3) >>> 2) {
      right.moveTail(0, leaf);
      this.#dropKid(level, kid + 1, right);
    }
  }

  #dropKid(level: number, kid: number, dropped: Node): void {
    if (dropped.leaf) {
      if (dropped.prev !== undefined) dropped.prev.next = dropped.next;
      if (dropped.next !== undefined) dropped.next.prev = dropped.prev;
    }
    const parent = this.#pathNodes[level] as Inner;
    parent.keys.splice(kid, 1);
    parent.kids.splice(kid, 1);
    if (parent.kids.length === 0) {
      if (level === 0) this.#root = new Leaf();
      else this.#dropKid(level - 1, this.#pathKids[level - 1] as number, parent);
    }
    while (!this.#root.leaf && this.#root.kids.length === 1) this.#root = this.#root.kids[0] as Node;
  }

  /** Forgets the sought key's changes before `main`, which is one of its changes. Returns them as a {@link History}. */
  prune(main: Revision): History {
    const { leaf, at } = this;
    const history = leaf.hist?.[at];
    if (history === undefined) return [];
    let cut = 0;
    while (cut < history.length && (history[cut] as number) < main) cut += 2;
    if (cut === 0) return [];
    leaf.setHistory(at, cut === history.length ? undefined : history.slice(cut));
    return history.slice(0, cut);
  }

  /** Forgets one tombstone of the sought key, after {@link prune} up to it. */
  dropTombstone(main: Revision): void {
    const { leaf, at } = this;
    if (leaf.mod(at) === main) {
      this.remove();
      return;
    }
    const history = leaf.hist?.[at];
    assert(history?.[0] === main && (history[1] as number) % 2 === 1, "the tombstone is the oldest change", { main });
    leaf.setHistory(at, history.length === 2 ? undefined : history.slice(2));
  }

  /** How many keys of the range exist at `rev`: O(log n) at the latest revision, plus what changed after `rev`. */
  count(range: KeyRange, rev: Revision): number {
    if (range.end !== undefined && range.end <= range.start) return 0;
    return countIn(this.#root, range.start, range.end, rev);
  }

  /** Walks the keys of a range that exist at `rev`, in key order. */
  walk(range: KeyRange, rev: Revision, visit: Visit): void {
    if (range.end !== undefined && range.end <= range.start) return;
    this.seek(range.start);
    let i = this.at;
    for (let leaf: Leaf | undefined = this.leaf; leaf !== undefined; leaf = leaf.next, i = 0) {
      for (; i < leaf.n; i++) {
        if (range.end !== undefined && (leaf.keys[i] as string) >= range.end) return;
        if (pairAt(leaf, i, rev) !== NONE && visit(leaf, i) === false) return;
      }
    }
  }

  /** As {@link walk}, from the last key to the first. */
  walkBack(range: KeyRange, rev: Revision, visit: Visit): void {
    if (range.end !== undefined && range.end <= range.start) return;
    let leaf: Leaf | undefined;
    let i: number;
    if (range.end === undefined) {
      leaf = this.#lastLeaf();
      i = leaf.n - 1;
    } else {
      this.seek(range.end);
      leaf = this.leaf;
      i = this.at - 1;
    }
    while (leaf !== undefined) {
      for (; i >= 0; i--) {
        if ((leaf.keys[i] as string) < range.start) return;
        if (pairAt(leaf, i, rev) !== NONE && visit(leaf, i) === false) return;
      }
      leaf = leaf.prev;
      i = leaf === undefined ? -1 : leaf.n - 1;
    }
  }

  /** Walks every key from `start` on, deleted ones too. */
  walkAll(start: string, visit: Visit): void {
    this.seek(start);
    let i = this.at;
    for (let leaf: Leaf | undefined = this.leaf; leaf !== undefined; leaf = leaf.next, i = 0)
      for (; i < leaf.n; i++) if (visit(leaf, i) === false) return;
  }

  #lastLeaf(): Leaf {
    let node = this.#root;
    while (!node.leaf) node = node.kids[node.kids.length - 1] as Node;
    return node;
  }
}

export interface IndexPut {
  readonly main: Revision;
  readonly sub: number;
  /** Body checksum of the record. */
  readonly crc: number;
  readonly create: Revision;
  readonly version: number;
  readonly leased: boolean;
}

/** Where the put is that a key has at `rev`; undefined if the key does not exist then. */
export interface Place {
  readonly main: Revision;
  readonly sub: number;
  /** Whether it is the latest change, so that the leaf also knows create revision and version. */
  readonly latest: boolean;
}

const NONE = -2;
const LATEST = -1;

/** {@link NONE}, {@link LATEST}, or the index of the pair in the key's history. */
function pairAt(leaf: Leaf, at: number, rev: Revision): number {
  if (leaf.mod(at) <= rev) return leaf.version(at) === 0 ? NONE : LATEST;
  const history: History | undefined = leaf.hist?.[at];
  if (history === undefined) return NONE;
  let lo = 0;
  let hi = history.length >>> 1;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if ((history[2 * mid] as number) <= rev) lo = mid + 1;
    else hi = mid;
  }
  return lo === 0 || (history[2 * lo - 1] as number) % 2 === 1 ? NONE : lo - 1;
}

/** The put that a key shows at `rev`, if it exists then. */
export function locate(leaf: Leaf, at: number, rev: Revision): Place | undefined {
  const pair = pairAt(leaf, at, rev);
  if (pair === NONE) return undefined;
  if (pair === LATEST) return { main: leaf.mod(at), sub: leaf.sub(at), latest: true };
  const history = leaf.hist?.[at] as History;
  return { main: history[2 * pair] as number, sub: (history[2 * pair + 1] as number) / 2, latest: false };
}

function countIn(node: Node, start: string | undefined, end: string | undefined, rev: Revision): number {
  if (start === undefined && end === undefined && node.maxMod <= rev) return node.live;
  if (node.leaf) return countInLeaf(node, start, end, rev);
  const first = start === undefined ? 0 : node.childOf(start);
  const last = end === undefined ? node.kids.length - 1 : node.childOf(end);
  if (first >= last) return first > last ? 0 : countIn(node.kids[first] as Node, start, end, rev);
  let sum = countIn(node.kids[first] as Node, start, undefined, rev);
  for (let i = first + 1; i < last; i++) sum += countIn(node.kids[i] as Node, undefined, undefined, rev);
  return sum + countIn(node.kids[last] as Node, undefined, end, rev);
}

function countInLeaf(leaf: Leaf, start: string | undefined, end: string | undefined, rev: Revision): number {
  const from = start === undefined ? 0 : lowerBound(leaf, start);
  const to = end === undefined ? leaf.n : lowerBound(leaf, end);
  if (leaf.maxMod <= rev && leaf.live === leaf.n) return Math.max(0, to - from);
  let count = 0;
  for (let i = from; i < to; i++) if (pairAt(leaf, i, rev) !== NONE) count++;
  return count;
}
