import { Prng } from "@keelson/testkit";
import { expect, it } from "vitest";
import { bytesToKey, keyToBytes, MemoryBackend, MvccStore } from "./index.ts";
import { RangeTree } from "./range-tree.ts";

/*
 * Trees of several levels against sorted arrays: the other model tests use few keys, so they never split a node.
 */

const SEEDS = [1, 2];
const KEYS = 6000;

/** Living keys per revision, as sorted arrays. */
class SortedModel {
  readonly live = new Set<string>();
  readonly #kept = new Map<number, string[]>();

  remember(revision: number): void {
    this.#kept.set(
      revision,
      [...this.live].sort((a, b) => (a < b ? -1 : 1)),
    );
  }

  revisions(from: number): number[] {
    return [...this.#kept.keys()].filter((r) => r >= from);
  }

  between(revision: number, start: string, end: string): string[] {
    return (this.#kept.get(revision) as string[]).filter((k) => k >= start && k < end);
  }
}

const END = "~";
const name = (rng: Prng) =>
  `k${rng
    .below(KEYS)
    .toString()
    .padStart(rng.pick([1, 5]), "0")}`;

function put(store: MvccStore, model: SortedModel, key: string): void {
  store.put({ key: keyToBytes(key), value: keyToBytes("v") });
  model.live.add(key);
}

function removeRange(store: MvccStore, model: SortedModel, start: string, end: string): void {
  const gone = [...model.live].filter((k) => k >= start && k < end);
  const { deleted } = store.deleteRange({ key: keyToBytes(start), end: keyToBytes(end) });
  expect(deleted).toBe(gone.length);
  for (const k of gone) model.live.delete(k);
}

function check(store: MvccStore, model: SortedModel, rng: Prng): void {
  for (const revision of model.revisions(store.compactRevision)) {
    const [start, end] = [name(rng), rng.chance(0.3) ? END : name(rng)];
    const want = model.between(revision, start, end);
    const range = { key: keyToBytes(start), end: keyToBytes(end), revision };
    const got = store.range({ ...range, keysOnly: true });
    expect(got.kvs.map((kv) => bytesToKey(kv.key))).toEqual(want);
    expect(got.count).toBe(want.length);
    expect(store.range({ ...range, countOnly: true }).count).toBe(want.length);
    const last = store.range({ ...range, keysOnly: true, sortOrder: "descend", limit: 70 });
    expect(last.kvs.map((kv) => bytesToKey(kv.key))).toEqual(want.toReversed().slice(0, 70));
    expect(last.more).toBe(want.length > 70);
  }
  expect(store.keys).toBe(model.live.size);
}

it.each(SEEDS)("counts and walks as a sorted array does, through splits, joins and compactions (seed %i)", (seed) => {
  const rng = new Prng(seed);
  const store = new MvccStore({ backend: new MemoryBackend(), prefix: 1 });
  const model = new SortedModel();
  for (let round = 0; round < 6; round++) {
    const ascending = rng.chance(0.3);
    for (let i = 0; i < 1500; i++)
      put(store, model, ascending ? `k${round}${i.toString().padStart(4, "0")}` : name(rng));
    for (let i = 0; i < 300; i++) removeRange(store, model, ...single(name(rng)));
    const a = name(rng);
    removeRange(store, model, a, rng.chance(0.5) ? END : `${a}9`);
    model.remember(store.revision);
    check(store, model, rng);
    if (rng.chance(0.6)) {
      store.compact(rng.pick(model.revisions(store.compactRevision + 1)));
      while (!store.scrub(1 + rng.below(500)).done) if (rng.chance(0.2)) check(store, model, rng);
      check(store, model, rng);
    }
  }
  removeRange(store, model, "", END);
  store.compact(store.revision);
  store.put({ key: keyToBytes("last"), value: keyToBytes("") });
  store.compact(store.revision);
  store.scrub(1e9);
  expect(store.range({ key: keyToBytes("\0"), end: keyToBytes("\0") }).count).toBe(1);
});

function single(key: string): [string, string] {
  return [key, `${key}\0`];
}

it.each(SEEDS)("finds the ranges that contain a key as a list does (seed %i)", (seed) => {
  const rng = new Prng(seed);
  const tree = new RangeTree<number>();
  const list = new Map<number, { start: string; end: string | undefined; single: boolean }>();
  for (let i = 0; i < 3000; i++) {
    if (list.size > 0 && rng.chance(i < 2000 ? 0.3 : 0.7)) {
      const [id, range] = rng.pick([...list]);
      tree.delete(range, id);
      list.delete(id);
    } else {
      const [a, b] = [`${rng.below(100)}`, rng.chance(0.1) ? undefined : `${rng.below(100)}`];
      const range = { start: a, end: b, single: false };
      if (b !== undefined && b <= a) continue;
      tree.add(range, i);
      list.set(i, range);
    }
    if (i % 10 !== 0) continue;
    const key = `${rng.below(100)}`;
    const found: number[] = [];
    tree.stab(key, (id) => found.push(id));
    const want = [...list].filter(([, r]) => key >= r.start && (r.end === undefined || key < r.end)).map(([id]) => id);
    expect(found.sort((x, y) => x - y)).toEqual(want.sort((x, y) => x - y));
  }
});
