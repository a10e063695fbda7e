import { expect, it, vi } from "vitest";
import { EventLog } from "./event-log.ts";
import type { Watcher, WatchPull, WatchRequest } from "./index.ts";
import {
  bytesToKey,
  MemoryBackend,
  type MvccEvent,
  MvccStore,
  type RevisionEvents,
  type Txn,
  WatchHub,
} from "./index.ts";

const b = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));

/** A store whose writes go to a hub. */
function setUp(limits = {}) {
  const store = new MvccStore({ backend: new MemoryBackend(), prefix: 1 });
  const hub = new WatchHub({ source: store, ...limits });
  const tell = (w: { changes: RevisionEvents | undefined }) => w.changes !== undefined && hub.notify(w.changes);
  return {
    store,
    hub,
    put: (key: string, value = "v") => tell(store.put({ key: b(key), value: b(value) })),
    del: (key: string, end = "") => tell(store.deleteRange({ key: b(key), end: b(end) })),
    txn: (txn: Txn) => tell(store.txn(txn)),
    watch(key: string, end = "", more: Partial<WatchRequest> = {}): Watcher {
      const created = hub.create({ id: 1, key: b(key), end: b(end), ...more });
      if (created.type !== "created") throw new Error(created.type);
      return created.watcher;
    },
  };
}

const show = (events: readonly MvccEvent[]) =>
  events.map((e) => `${e.type === "put" ? "+" : "-"}${e.name}@${e.kv.modRevision}`).join(" ");
const shown = (p: WatchPull) => (p.type === "events" ? show(p.events) : p.type);
const putAll = (...keys: string[]): Txn => ({
  compare: [],
  success: keys.map((k) => ({ type: "put", put: { key: b(k), value: b("v") } })),
  failure: [],
});

it.each([
  ["one key", "b", "", {}, "+b@3 -b@5"],
  ["a range", "a", "c", {}, "+a@2 +b@3 -b@5"],
  ["from a key on", "b", "\0", {}, "+b@3 +c@4 -b@5"],
  ["everything by an empty key", "", "\0", {}, "+a@2 +b@3 +c@4 -b@5"],
  ["no puts", "a", "\0", { filters: ["noput"] }, "-b@5"],
  ["no deletes", "b", "c", { filters: ["nodelete"] }, "+b@3"],
  ["from a revision on", "a", "\0", { startRevision: 4 }, "+c@4 -b@5"],
] as const)("delivers %s", (_title, key, end, more, want) => {
  const t = setUp();
  const early = t.watch(key, end, more);
  for (const k of ["a", "b", "c"]) t.put(k);
  t.del("b");
  expect(shown(t.hub.pull(early, 1e6))).toBe(want);
  const late = t.watch(key, end, { startRevision: 1, ...more });
  expect(shown(t.hub.pull(late, 1e6))).toBe(want);
});

it("waits for a start in the future", () => {
  const t = setUp();
  const watcher = t.watch("a", "", { startRevision: 4 });
  t.put("a");
  t.put("a");
  expect(t.hub.pull(watcher, 1e6).type).toBe("nothing");
  expect(t.hub.progress(watcher)).toBeUndefined();
  t.put("a");
  expect(shown(t.hub.pull(watcher, 1e6))).toBe("+a@4");
  expect(t.hub.progress(watcher)).toBe(4);
});

it("refuses a compacted start and an empty range", () => {
  const t = setUp();
  for (let i = 0; i < 5; i++) t.put("a");
  t.store.compact(4);
  expect(t.hub.create({ id: 1, key: b("a"), startRevision: 3 })).toEqual({ type: "compacted", compactRevision: 4 });
  expect(shown(t.hub.pull(t.watch("a", "", { startRevision: 4 }), 1e6))).toBe("+a@4 +a@5 +a@6");
  expect(t.hub.create({ id: 1, key: b("b"), end: b("a") })).toEqual({ type: "emptyRange" });
  expect(t.hub.size).toBe(1);
});

it("never splits a revision, whatever the limit", () => {
  const t = setUp();
  const watcher = t.watch("a", "\0");
  t.put("a");
  t.txn(putAll("b", "c", "d"));
  t.put("e");
  const pulls = [1, 1, 1, 1].map((max) => t.hub.pull(watcher, max));
  expect(pulls.map(shown)).toEqual(["+a@2", "+b@3 +c@3 +d@3", "+e@4", "nothing"]);
  expect(pulls.map((p) => (p.type === "events" ? [p.revision, p.more, p.fragment] : []))).toEqual([
    [2, true, false],
    [3, true, false],
    [4, false, false],
    [],
  ]);
});

it("splits a revision only for a watcher that allows fragments", () => {
  const t = setUp();
  const watcher = t.watch("a", "\0", { fragment: true });
  t.txn(putAll("a", "b", "c"));
  const pulls = [1, 1, 1].map((max) => t.hub.pull(watcher, max));
  expect(pulls.map(shown)).toEqual(["+a@2", "+b@2", "+c@2"]);
  expect(pulls.map((p) => p.type === "events" && p.fragment)).toEqual([true, true, false]);
});

it("gives the same event objects to everybody and finds prevKv once", () => {
  const t = setUp();
  t.put("a", "1");
  const watchers = [t.watch("a"), t.watch("a", "\0", { prevKv: true })];
  t.put("a", "2");
  const [one, two] = watchers.map((w) => t.hub.pull(w, 1e6));
  if (one?.type !== "events" || two?.type !== "events") throw new Error("no events");
  expect(one.events[0]).toBe(two.events[0]);
  expect(bytesToKey(two.events[0]?.prevKv?.value as Uint8Array)).toBe("1");
});

it("has prevKv even if a compaction took it between the write and the pull", () => {
  const t = setUp();
  t.put("a", "1");
  const watcher = t.watch("a", "", { prevKv: true });
  t.put("a", "2");
  t.put("b");
  t.store.compact(4);
  t.store.scrub(100);
  const pulled = t.hub.pull(watcher, 1e6);
  expect(pulled.type === "events" && pulled.events.map((e) => bytesToKey(e.prevKv?.value as Uint8Array))).toEqual([
    "1",
  ]);
});

it("says once that a watcher is ready, and lets it pull at once", () => {
  const t = setUp();
  const got: string[] = [];
  const onReady = vi.fn<() => void>();
  const watcher = t.watch("a", "\0", { onReady });
  t.put("a");
  t.put("b");
  expect(onReady).toHaveBeenCalledTimes(1);
  onReady.mockImplementation(() => void got.push(shown(t.hub.pull(watcher, 1e6))));
  t.hub.pull(watcher, 1e6);
  t.put("c");
  t.txn(putAll("d", "e"));
  expect(got).toEqual(["+c@4", "+d@5 +e@5"]);
});

it("cancels a slow watcher that a compaction has overtaken, and no other", () => {
  const t = setUp({ maxRevisions: 2 });
  const [slow, fast] = [t.watch("a"), t.watch("a")];
  for (let i = 0; i < 5; i++) {
    t.put("a");
    t.hub.pull(fast, 1e6);
  }
  t.store.compact(4);
  expect(t.hub.pull(slow, 1e6)).toEqual({ type: "compacted", compactRevision: 4 });
  t.hub.cancel(slow);
  expect(() => t.hub.pull(slow, 1e6)).toThrow("the watcher is in this hub");
  expect(t.hub.size).toBe(1);
  t.put("a");
  expect(shown(t.hub.pull(fast, 1e6))).toBe("+a@7");
});

it("does not cancel a watcher that had nothing to see in what was compacted", () => {
  const t = setUp({ maxRevisions: 2 });
  const watcher = t.watch("a");
  for (let i = 0; i < 9; i++) t.put("other");
  t.store.compact(9);
  t.put("a");
  expect(shown(t.hub.pull(watcher, 1e6))).toBe("+a@11");
});

it("keeps a bounded number of recent revisions, and reads the store only for older ones", () => {
  const store = new MvccStore({ backend: new MemoryBackend(), prefix: 1 });
  const eventsSince = vi.spyOn(store, "eventsSince");
  const log = new EventLog(store, { maxRevisions: 100, maxBytes: 4000 });
  for (let i = 0; i < 1000; i++) {
    const { changes } = store.put({ key: b("k"), value: b("v") });
    log.append(changes as RevisionEvents);
  }
  for (let rev = 902; rev <= 1001; rev++) expect(log.at(rev)?.revision).toBe(rev);
  expect(eventsSince).not.toHaveBeenCalled();
  for (let rev = 2; rev <= 1001; rev++) expect(log.at(rev)?.revision).toBe(rev);
  expect(eventsSince.mock.calls.length).toBeLessThan(20);
  const large = new Uint8Array(3000);
  for (let i = 0; i < 3; i++) log.append(store.put({ key: b("k"), value: large }).changes as RevisionEvents);
  eventsSince.mockClear();
  for (let rev = 1002; rev <= 1004; rev++) expect(log.at(rev)?.revision).toBe(rev);
  expect(eventsSince).toHaveBeenCalledTimes(1);
});

it("reports progress of a stream only when all of it is synced", () => {
  const t = setUp();
  const watchers = [t.watch("a"), t.watch("b")];
  t.put("a");
  expect(t.hub.progressAll(watchers)).toBeUndefined();
  expect(watchers.map((w) => t.hub.progress(w))).toEqual([undefined, 2]);
  t.hub.pull(watchers[0] as Watcher, 1e6);
  expect(t.hub.progressAll(watchers)).toBe(2);
});

it("bounds the search of one pull", () => {
  const t = setUp({ maxRevisionsPerPull: 10 });
  for (let i = 0; i < 25; i++) t.put(`k${i}`);
  const watcher = t.watch("k24", "", { startRevision: 2 });
  const pulls = [0, 0, 0].map(() => t.hub.pull(watcher, 1e6));
  expect(pulls.map(shown)).toEqual(["nothing", "nothing", "+k24@26"]);
  expect(pulls.map((p) => p.type !== "compacted" && p.more)).toEqual([true, true, false]);
});

it("goes on over another store, as after a snapshot", () => {
  const t = setUp();
  const other = setUp();
  const watcher = t.watch("a", "\0");
  for (const s of [t, other]) s.put("a");
  t.hub.pull(watcher, 1e6);
  for (const k of ["b", "c"]) other.put(k);
  t.hub.reset(other.store);
  expect(shown(t.hub.pull(watcher, 1e6))).toBe("+b@3 +c@4");
  t.hub.cancel(watcher);
  expect(t.hub.size).toBe(0);
});
