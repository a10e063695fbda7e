import { describe, expect, it } from "vitest";
import { entriesOfTerms } from "../test/harness/network.ts";
import { UnstableLog } from "./log-unstable.ts";
import { EMPTY_CONF_STATE, type Snapshot } from "./types.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const snapshotAt = (index: number, term: number): Snapshot => ({
  data: new Uint8Array(0),
  metadata: { index, term, confState: EMPTY_CONF_STATE },
});

/** Entries of `terms` from index 5; the first `inProgress` are being written. */
function unstable(terms: readonly number[], inProgress = 0): UnstableLog {
  const u = new UnstableLog(5, quiet);
  if (inProgress > 0) {
    u.truncateAndAppend(entriesOfTerms(5, terms.slice(0, inProgress)), 0);
    u.acceptInProgress();
  }
  if (terms.length > inProgress) u.truncateAndAppend(entriesOfTerms(5 + inProgress, terms.slice(inProgress)), 0);
  return u;
}

describe("appending", () => {
  it.each([
    ["to the end", [1], 0, 6, [1, 1], [1, 1, 1], 5, 5],
    ["to the end of what is being written", [1], 1, 6, [1, 1], [1, 1, 1], 5, 6],
    ["instead of everything", [1], 0, 5, [2, 2], [2, 2], 5, 5],
    ["instead of everything and of what storage has", [1], 0, 4, [2, 2, 2], [2, 2, 2], 4, 4],
    ["instead of what is being written", [1], 1, 5, [2, 2], [2, 2], 5, 5],
    ["instead of a part", [1, 1, 1], 0, 6, [2], [1, 2], 5, 5],
    ["instead of a part that is being written", [1, 1, 1], 2, 6, [2], [1, 2], 5, 6],
    ["behind what is being written", [1, 1, 1], 1, 7, [2, 2], [1, 1, 2, 2], 5, 6],
  ] as const)("%s", (_title, terms, inProgress, first, added, want, offset, wantInProgress) => {
    const u = unstable(terms, inProgress);
    u.truncateAndAppend(entriesOfTerms(first, added), 0);
    expect(u.view().map((e) => e.term)).toEqual(want);
    expect([u.offset, u.offsetInProgress]).toEqual([offset, wantInProgress]);
  });
  it("does not touch what was handed out", () => {
    const u = unstable([1, 1, 1]);
    const handed = u.nextEntries();
    u.acceptInProgress();
    u.truncateAndAppend(entriesOfTerms(6, [2]), 0);
    expect(handed.map((e) => e.term)).toEqual([1, 1, 1]);
    expect(u.nextEntries().map((e) => [e.index, e.term])).toEqual([[6, 2]]);
  });
});

describe("becoming stable", () => {
  it.each([
    ["the first", 5, 1, 6, 1],
    ["all", 6, 1, 7, 0],
    ["another term: ignored", 5, 2, 5, 2],
    ["older than all: ignored", 4, 1, 5, 2],
    ["newer than all: ignored", 7, 1, 5, 2],
  ])("%s", (_title, index, term, offset, left) => {
    const u = unstable([1, 1], 2);
    u.stableTo(index, term);
    expect([u.offset, u.length]).toEqual([offset, left]);
  });
  it("an entry at the snapshot's place is ignored", () => {
    const u = new UnstableLog(5, quiet);
    u.restore(snapshotAt(5, 1));
    u.stableTo(5, 1);
    expect([u.offset, u.snapshot?.metadata.index, u.term(5)]).toEqual([6, 5, 1]);
  });
  it("a snapshot goes only by its own index", () => {
    const u = unstable([1]);
    u.restore(snapshotAt(9, 2));
    expect(u.nextSnapshot()?.metadata.index).toBe(9);
    u.acceptInProgress();
    expect(u.nextSnapshot()).toBeUndefined();
    u.stableSnapTo(8);
    expect(u.lastIndex()).toBe(9);
    u.stableSnapTo(9);
    expect([u.snapshot, u.lastIndex()]).toEqual([undefined, undefined]);
  });
});
