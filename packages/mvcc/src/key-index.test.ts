import { expect, it } from "vitest";
import { KeyIndex, locate } from "./key-index.ts";

/*
 * The cases of upstream's server/storage/mvcc/key_index_test.go that are visible from outside, on keys of our own. A life
 * is written as its revisions, "t" marking a tombstone: upstream's generations are the runs between tombstones.
 */

const KEY = "k";

/** An index with one key that changed at these revisions; tombstones are negative. */
function indexOf(changes: readonly number[]): KeyIndex {
  const index = new KeyIndex();
  let create = 0;
  let version = 0;
  for (const change of changes) {
    const found = index.seek(KEY);
    if (change < 0) {
      index.tombstone(KEY, found, -change, 0);
      version = 0;
      continue;
    }
    if (version === 0) create = change;
    version++;
    index.put(KEY, found, { main: change, sub: 0, crc: 0, create, version, leased: false });
  }
  return index;
}

function at(index: KeyIndex, rev: number): number | undefined {
  return index.seek(KEY) ? locate(index.leaf, index.at, rev)?.main : undefined;
}

// TestKeyIndexGet: three lives, looked at from every revision.
const LIVES = [3, 5, -7, 9, 11, -13, 15, 16, -17];
it.each([
  [18, undefined],
  [17, undefined],
  [16, 16],
  [15, 15],
  [14, undefined],
  [13, undefined],
  [12, 11],
  [11, 11],
  [10, 9],
  [9, 9],
  [8, undefined],
  [7, undefined],
  [6, 5],
  [5, 5],
  [4, 3],
  [3, 3],
  [2, undefined],
  [0, undefined],
])("at revision %i the key shows %s", (rev, want) => expect(at(indexOf(LIVES), rev)).toBe(want));

// TestKeyIndexCompactAndKeep, in our terms: when the scrub visits a change, everything before it goes.
it.each([
  [3, []],
  [5, [3]],
  [7, [3, 5]],
  [9, [3, 5, 7]],
  [16, [3, 5, 7, 9, 11, 13, 15]],
  [17, [3, 5, 7, 9, 11, 13, 15, 16]],
])("visiting the change of %i lets go of %j", (main, want) => {
  const index = indexOf(LIVES);
  index.seek(KEY);
  expect(index.prune(main).filter((_, i) => i % 2 === 0)).toEqual(want);
  index.seek(KEY);
  const later = LIVES.map(Math.abs).filter((r) => r >= main);
  for (const r of later) expect(at(index, r)).toBe(LIVES.includes(r) ? r : undefined);
});

it("a key leaves the index with its last tombstone, and may come back", () => {
  const index = indexOf([2, -3]);
  index.seek(KEY);
  index.prune(3);
  index.seek(KEY);
  index.dropTombstone(3);
  expect([index.seek(KEY), index.size, index.live]).toEqual([false, 0, 0]);
  index.put(KEY, false, { main: 4, sub: 0, crc: 0, create: 4, version: 1, leased: true });
  index.seek(KEY);
  expect([index.size, index.live, index.leaf.leased(index.at)]).toEqual([1, 1, true]);
});

it("drops a tombstone between two lives, not the life after it", () => {
  const index = indexOf([2, -3, 5]);
  index.seek(KEY);
  index.prune(3);
  index.seek(KEY);
  index.dropTombstone(3);
  expect([at(index, 4), at(index, 5), index.live]).toEqual([undefined, 5, 1]);
});

// TestKeyIndexPut: upstream panics, too.
it("refuses a change that is not later than the last", () => {
  const index = indexOf([5]);
  const put = { main: 5, sub: 1, crc: 0, create: 5, version: 2, leased: false };
  expect(() => index.put(KEY, index.seek(KEY), put)).toThrow("a key changes at most once per revision");
});

// TestRestoreTombstone: all that is known of the key is that it was deleted.
it("restores from a tombstone alone", () => {
  const index = indexOf([-16]);
  expect([16, 17, 20].map((rev) => at(index, rev))).toEqual([undefined, undefined, undefined]);
  expect([index.size, index.live]).toEqual([1, 0]);
});

it("keeps large revisions and sub-revisions exactly", () => {
  const index = new KeyIndex();
  const main = 2 ** 52;
  const sub = 2 ** 21 - 1;
  const crc = 0xffff_ffff;
  index.seek(KEY);
  index.put(KEY, false, { main, sub, crc, create: main, version: 1, leased: false });
  index.seek(KEY);
  expect(locate(index.leaf, index.at, main)).toEqual({ main, sub, latest: true });
  expect(index.leaf.crc(index.at)).toBe(crc);
  index.tombstone(KEY, true, main + 1, 2 ** 32 - 1);
  index.seek(KEY);
  expect([index.leaf.sub(index.at), locate(index.leaf, index.at, main)?.sub]).toEqual([2 ** 32 - 1, sub]);
});
