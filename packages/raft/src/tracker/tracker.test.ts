import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Inflights } from "./inflights.ts";
import { Progress } from "./progress.ts";

function progress(state: "probe" | "replicate" | "snapshot", match: number, next: number): Progress {
  const pr = new Progress(match, next, new Inflights(2, 0), false);
  if (state === "replicate") pr.becomeReplicate();
  if (state === "snapshot") pr.becomeSnapshot(next - 1);
  pr.next = next;
  return pr;
}

describe("Inflights", () => {
  it("is a window: a model of it is a list", () => {
    const op = fc.oneof(fc.record({ add: fc.nat(50) }), fc.record({ free: fc.nat(40) }), fc.constant({ reset: true }));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.nat(120),
        fc.array(op, { maxLength: 80 }),
        (size, maxBytes, ops) => {
          const window = new Inflights(size, maxBytes);
          let model: { index: number; bytes: number }[] = [];
          let index = 0;
          for (const o of ops) {
            if ("add" in o && !window.full) {
              window.add(++index, o.add);
              model.push({ index, bytes: o.add });
            } else if ("free" in o) {
              window.freeUpTo(o.free);
              model = model.filter((m) => m.index > o.free);
            } else if ("reset" in o) {
              window.reset();
              model = [];
            }
            const bytes = model.reduce((n, m) => n + m.bytes, 0);
            expect([window.count, window.bytes]).toEqual([model.length, bytes]);
            expect(window.full).toBe(model.length === size || (maxBytes > 0 && bytes >= maxBytes));
          }
        },
      ),
    );
  });
  it("ends the node when overfilled", () => {
    const window = new Inflights(1, 0);
    window.add(1, 0);
    expect(() => window.add(2, 0)).toThrow("cannot add into a full Inflights");
  });
});

describe("Progress", () => {
  // (state, match, next, acknowledged) -> (changed, match, next)
  it.each([
    [3, 5, 2, false, 3, 5],
    [3, 5, 3, false, 3, 5],
    [3, 5, 4, true, 4, 5],
    [3, 5, 5, true, 5, 6],
  ])("match %i next %i acknowledged %i: %s, match %i next %i", (match, next, ack, changed, wantMatch, wantNext) => {
    const pr = progress("probe", match, next);
    expect([pr.maybeUpdate(ack), pr.match, pr.next]).toEqual([changed, wantMatch, wantNext]);
  });
  it.each([
    ["a replicating one ignores what it matched already", "replicate", 5, 10, 5, 5, false, 10],
    ["a replicating one ignores older still", "replicate", 5, 10, 4, 4, false, 10],
    ["a replicating one goes back to its match", "replicate", 5, 10, 9, 9, true, 6],
    ["a probing one ignores an answer to another probe", "probe", 0, 0, 0, 0, false, 0],
    ["and again", "probe", 0, 10, 5, 5, false, 10],
    ["a probing one steps back", "probe", 0, 10, 9, 9, true, 9],
    ["but not before the first entry", "probe", 0, 1, 0, 0, true, 1],
    ["a hint lets it skip", "probe", 0, 10, 9, 2, true, 3],
    ["a hint of nothing leads to the first", "probe", 0, 10, 9, 0, true, 1],
    ["nor before its match", "probe", 5, 10, 9, 2, true, 6],
  ] as const)("%s", (_title, state, match, next, rejected, hint, want, wantNext) => {
    const pr = progress(state, match, next);
    expect([pr.maybeDecreaseTo(rejected, hint), pr.next]).toEqual([want, wantNext]);
  });
  it("leaves a snapshot for the entry after it, or after the match when it failed", () => {
    const done = progress("snapshot", 1, 11);
    done.becomeProbe();
    expect([done.match, done.next]).toEqual([1, 11]);
    const failed = progress("snapshot", 1, 11);
    failed.pendingSnapshot = 0;
    failed.becomeProbe();
    expect([failed.match, failed.next]).toEqual([1, 2]);
  });
  it("pauses: a probe after one append, replication when the window is full, a snapshot always", () => {
    const probe = progress("probe", 0, 5);
    probe.sentEntries(0, 0);
    expect(probe.paused).toBe(false);
    probe.sentEntries(1, 9);
    expect([probe.paused, probe.next]).toEqual([true, 5]);
    const replicate = progress("replicate", 4, 5);
    replicate.sentEntries(2, 9);
    expect([replicate.paused, replicate.next]).toEqual([false, 7]);
    replicate.sentEntries(1, 9);
    expect(String(replicate)).toBe("StateReplicate match=4 next=8 paused inactive inflight=2[full]");
    expect(progress("snapshot", 0, 5).paused).toBe(true);
    expect(() => progress("snapshot", 0, 5).sentEntries(1, 1)).toThrow("unhandled state StateSnapshot");
  });
  it("knows whether a commit index is news", () => {
    const pr = progress("replicate", 4, 10);
    pr.sentCommit(6);
    expect([pr.canBumpCommit(6), pr.canBumpCommit(7)]).toEqual([false, true]);
    // Everything that was sent is covered already.
    pr.sentCommit(9);
    expect(pr.canBumpCommit(12)).toBe(false);
  });
});
