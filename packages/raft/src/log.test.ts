import { describe, expect, it } from "vitest";
import { entriesOfTerms } from "../test/harness/network.ts";
import { RaftLog } from "./log.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { entriesBytes } from "./size.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const ALL = Number.POSITIVE_INFINITY;

/** A log whose first `stable` entries are in storage. */
function logOf(terms: readonly number[], stable = 0, maxApplying = ALL): RaftLog {
  const storage = new MemoryStorage();
  storage.append(entriesOfTerms(1, terms.slice(0, stable)));
  const log = new RaftLog(storage, quiet, maxApplying);
  log.append(entriesOfTerms(stable + 1, terms.slice(stable)));
  return log;
}

function terms(log: RaftLog): number[] {
  return Array.from({ length: log.lastIndex() }, (_, i) => log.termOrZero(i + 1));
}

describe("finding conflicts (paper 5.3)", () => {
  it.each([
    [[], 1, 0],
    [[1, 2, 3], 1, 0],
    [[2, 3], 2, 0],
    [[1, 2, 3, 4, 4], 1, 4],
    [[2, 3, 4, 5], 2, 4],
    [[4, 4], 1, 1],
    [[1, 4, 4], 2, 2],
    [[1, 2, 4, 4], 3, 3],
  ])("entries of terms %j from index %i onto terms 1 2 3: %i", (given, first, want) => {
    expect(logOf([1, 2, 3]).findConflict(entriesOfTerms(first, given))).toBe(want);
  });
  it.each([
    // Log terms from index 1, probed (index, term), best guess (index, term).
    [[2, 2, 5, 5, 5], 5, 5, 5, 5],
    [[2, 2, 5, 5, 5], 5, 4, 2, 2],
    [[2, 2, 5, 5, 5], 4, 3, 2, 2],
    [[2, 2, 5, 5, 5], 5, 1, 0, 0],
    [[2, 2, 5, 5, 5], 0, 9, 0, 0],
    // Not stored here: it may match.
    [[2, 2, 5, 5, 5], 9, 5, 9, 0],
  ])("by term, in %j at (%i, %i): (%i, %i)", (log, index, term, wantIndex, wantTerm) => {
    expect(logOf(log).findConflictByTerm(index, term)).toEqual({ index: wantIndex, term: wantTerm });
  });
  it("by term, in a compacted log", () => {
    const storage = new MemoryStorage();
    storage.append(entriesOfTerms(1, [3, 3, 3, 4, 4, 4]));
    storage.compact(3);
    const log = new RaftLog(storage, quiet, ALL);
    expect(log.findConflictByTerm(6, 3)).toEqual({ index: 3, term: 3 });
    expect(log.findConflictByTerm(6, 2)).toEqual({ index: 2, term: 0 });
  });
});

describe("appending what a leader sent", () => {
  it.each([
    ["the anchor's term differs", 2, 3, [4], 3, undefined, 1, [1, 2, 3]],
    ["the anchor lies ahead", 3, 4, [4], 3, undefined, 1, [1, 2, 3]],
    ["a heartbeat-like append only commits", 3, 3, [], 2, 3, 2, [1, 2, 3]],
    ["commit is limited to what matches", 3, 3, [], 9, 3, 3, [1, 2, 3]],
    ["an old commit changes nothing", 3, 3, [], 0, 3, 1, [1, 2, 3]],
    ["new entries are added", 3, 3, [4, 4], 4, 5, 4, [1, 2, 3, 4, 4]],
    ["known entries are kept", 1, 1, [2], 1, 2, 1, [1, 2, 3]],
    ["a conflict cuts the tail", 1, 1, [4], 2, 2, 2, [1, 4]],
    ["a conflict in the middle", 1, 1, [2, 4], 2, 3, 2, [1, 2, 4]],
  ] as const)("%s", (_title, index, term, entries, commit, last, committed, want) => {
    for (const stable of [0, 1, 3]) {
      const log = logOf([1, 2, 3], stable);
      log.commitTo(1);
      expect(log.maybeAppend(index, term, entriesOfTerms(index + 1, entries), commit)).toBe(last);
      expect([log.committed, terms(log)]).toEqual([committed, want]);
    }
  });
  it("ends the node when a committed entry would change", () => {
    const log = logOf([1, 2, 3]);
    log.commitTo(2);
    expect(() => log.maybeAppend(1, 1, entriesOfTerms(2, [9]), 2)).toThrow("entry 2 conflict with committed entry");
    expect(() => log.append(entriesOfTerms(2, [9]))).toThrow("after(1) is out of range [committed(2)]");
  });
});

describe("up to date (paper 5.4.1)", () => {
  it.each([
    ["a later term wins", 4, 1, true],
    ["whatever the length", 4, 9, true],
    ["an earlier term loses", 2, 9, false],
    ["the same term: longer wins", 3, 4, true],
    ["as long is enough", 3, 3, true],
    ["shorter loses", 3, 2, false],
  ])("%s", (_title, term, index, want) => expect(logOf([1, 2, 3]).isUpToDate(term, index)).toBe(want));
});

describe("committing", () => {
  it("moves forward only, and not past the end", () => {
    const log = logOf([1, 2, 3]);
    log.commitTo(3);
    log.commitTo(1);
    expect(log.committed).toBe(3);
    expect(() => log.commitTo(4)).toThrow("tocommit(4) is out of range [lastIndex(3)]");
  });
  it("counts only entries of the leader's own term (paper 5.4.2)", () => {
    const log = logOf([1, 2, 2, 3]);
    expect(log.maybeCommit(3, 3)).toBe(false);
    expect(log.maybeCommit(4, 3)).toBe(true);
    expect(log.maybeCommit(4, 0)).toBe(false);
    expect(log.committed).toBe(4);
  });
});

describe("handing out committed entries", () => {
  const one = entriesBytes(entriesOfTerms(1, [1]));
  it("stops at the limit until some come back", () => {
    const log = logOf([1, 1, 1, 1], 4, 2 * one);
    log.commitTo(4);
    const page = log.nextCommitted(true);
    expect(page.map((e) => e.index)).toEqual([1, 2]);
    log.acceptApplying(2, 2 * one, true);
    expect(log.hasNextCommitted(true)).toBe(false);
    log.appliedTo(1, one);
    expect(log.nextCommitted(true).map((e) => e.index)).toEqual([3]);
  });
  it("leaves out unstable ones on request", () => {
    const log = logOf([1, 1, 1, 1], 2);
    log.commitTo(4);
    expect(log.nextCommitted(false).map((e) => e.index)).toEqual([1, 2]);
    expect(log.nextCommitted(true).map((e) => e.index)).toEqual([1, 2, 3, 4]);
  });
  it("gives nothing while a snapshot waits", () => {
    const log = logOf([1, 1]);
    log.restore({
      data: new Uint8Array(0),
      metadata: {
        index: 9,
        term: 2,
        confState: { voters: [1n], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
      },
    });
    expect([log.hasNextCommitted(true), log.firstIndex(), log.lastIndex(), log.termOrZero(9)]).toEqual([
      false,
      10,
      9,
      2,
    ]);
  });
});

describe("slices across storage and memory", () => {
  const log = logOf([1, 1, 1, 1, 1, 1], 3);
  const size = (n: number): number => n * entriesBytes(entriesOfTerms(1, [1]));
  it.each([
    [1, 7, ALL, [1, 2, 3, 4, 5, 6]],
    [1, 4, ALL, [1, 2, 3]],
    [4, 7, ALL, [4, 5, 6]],
    [3, 5, ALL, [3, 4]],
    [3, 3, ALL, []],
    [1, 7, 0, [1]],
    [5, 7, 0, [5]],
    [2, 7, size(2), [2, 3]],
    [2, 7, size(3), [2, 3, 4]],
    [2, 7, size(3) + 1, [2, 3, 4]],
    [3, 7, size(1) + 1, [3]],
  ])("[%i, %i) within %d bytes: %j", (lo, hi, max, want) => {
    const entries = log.slice(lo, hi, max);
    expect(typeof entries === "string" ? entries : entries.map((e) => e.index)).toEqual(want);
  });
  it("ends the node outside of the log", () => expect(() => log.slice(1, 8, ALL)).toThrow("out of bound [1,6]"));
});
