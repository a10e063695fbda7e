import { describe, expect, it } from "vitest";
import { confStateOf, entriesOfTerms } from "../test/harness/network.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { entryBytes } from "./size.ts";

const ALL = Number.POSITIVE_INFINITY;

/** Entries 4 (3 is compacted, with its term) to 6. */
function storage(): MemoryStorage {
  const s = new MemoryStorage();
  s.append(entriesOfTerms(1, [1, 2, 3, 4, 5, 6]));
  s.compact(3);
  return s;
}

function indexes(s: MemoryStorage): [number, number][] {
  const entries = s.entries(s.firstIndex(), s.lastIndex() + 1, ALL);
  return typeof entries === "string" ? [] : entries.map((e) => [e.index, e.term]);
}

describe("MemoryStorage", () => {
  it.each([
    [2, "compacted"],
    [3, 3],
    [4, 4],
    [6, 6],
    [7, "unavailable"],
  ])("term of %i: %s", (index, want) => expect(storage().term(index)).toBe(want));

  const one = entryBytes({ term: 4, index: 4, type: "EntryNormal", data: new Uint8Array(0) });
  it.each([
    [3, 5, ALL, "compacted"],
    [4, 5, ALL, [4]],
    [4, 7, ALL, [4, 5, 6]],
    [4, 7, 0, [4]],
    [4, 7, 2 * one, [4, 5]],
    [4, 7, 3 * one - 1, [4, 5]],
  ])("entries [%i, %i) within %d bytes: %j", (lo, hi, max, want) => {
    const entries = storage().entries(lo, hi, max);
    expect(typeof entries === "string" ? entries : entries.map((e) => e.index)).toEqual(want);
  });
  it.each([
    [
      "what is compacted already is skipped",
      1,
      [1, 2, 3, 4, 9],
      [
        [4, 4],
        [5, 9],
      ],
    ],
    [
      "all of it compacted: nothing happens",
      1,
      [1, 2],
      [
        [4, 4],
        [5, 5],
        [6, 6],
      ],
    ],
    [
      "the tail is replaced",
      5,
      [7],
      [
        [4, 4],
        [5, 7],
      ],
    ],
    [
      "new ones are added",
      7,
      [7],
      [
        [4, 4],
        [5, 5],
        [6, 6],
        [7, 7],
      ],
    ],
  ] as const)("append: %s", (_title, first, terms, want) => {
    const s = storage();
    s.append(entriesOfTerms(first, terms));
    expect(indexes(s)).toEqual(want);
  });
  it("append: a gap ends the node", () => {
    expect(() => storage().append(entriesOfTerms(9, [9]))).toThrow("missing log entry [last: 6, append at: 9]");
  });
  it("what was read stays as it was", () => {
    const s = storage();
    const read = s.entries(4, 7, ALL);
    s.append(entriesOfTerms(4, [9]));
    s.compact(4);
    expect(read).toEqual(entriesOfTerms(4, [4, 5, 6]));
  });
  it("snapshots: made at an applied index, refused when not newer", () => {
    const s = storage();
    expect(s.createSnapshot(5, confStateOf([1n]), Uint8Array.of(1)).metadata).toMatchObject({ index: 5, term: 5 });
    expect(() => s.createSnapshot(5, undefined, Uint8Array.of(1))).toThrow("older than the existing snapshot");
    expect(() => s.applySnapshot(s.snapshot())).toThrow("older than the existing snapshot");
    s.applySnapshot({ data: Uint8Array.of(2), metadata: { index: 9, term: 9, confState: confStateOf([1n]) } });
    expect([s.firstIndex(), s.lastIndex(), s.term(9)]).toEqual([10, 9, 9]);
    expect(s.entries(10, 10, ALL)).toBe("unavailable");
  });
  it("compaction far beyond the slack keeps the rest", () => {
    const s = new MemoryStorage();
    s.append(
      entriesOfTerms(
        1,
        Array.from({ length: 5000 }, () => 1),
      ),
    );
    for (let i = 100; i <= 4900; i += 100) s.compact(i);
    s.append(entriesOfTerms(5001, [2]));
    expect([s.firstIndex(), s.lastIndex(), s.term(4900), s.term(5001)]).toEqual([4901, 5001, 1, 2]);
    expect(indexes(s)).toHaveLength(101);
    expect(() => s.compact(4900)).toThrow("unavailable due to compaction");
  });
});
