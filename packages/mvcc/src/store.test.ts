import { expect, it } from "vitest";
import type { Compare, RangeOptions, Txn, TxnOp } from "./index.ts";
import { bytesToKey, findDuplicateKey, type KeyValue, MemoryBackend, type MvccBackend, MvccStore } from "./index.ts";

// Cases of upstream's kv_test.go, kvstore_test.go and etcdserver/txn/txn_test.go, on data of our own.

const b = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));
const ALL = { key: b("\0"), end: b("\0") };
const newStore = (backend: MvccBackend = new MemoryBackend()) => new MvccStore({ backend, prefix: 0xff });
const show = (kvs: readonly KeyValue[]) => kvs.map((kv) => `${bytesToKey(kv.key)}=${bytesToKey(kv.value)}`).join(" ");
const put = (key: string, value = "", more = {}): TxnOp => ({
  type: "put",
  put: { key: b(key), value: b(value), ...more },
});
const del = (key: string, end = ""): TxnOp => ({ type: "deleteRange", deleteRange: { key: b(key), end: b(end) } });
const get = (key: string, more = {}): TxnOp => ({ type: "range", range: { key: b(key), ...more } });
const nested = (success: TxnOp[], compare: Compare[] = [], failure: TxnOp[] = []): TxnOp => ({
  type: "txn",
  txn: { compare, success, failure },
});
const then = (...success: TxnOp[]): Txn => ({ compare: [], success, failure: [] });

function storeWith(...pairs: string[]): MvccStore {
  const store = newStore();
  for (const pair of pairs) {
    const [key, value = ""] = pair.split("=") as [string, string?];
    store.put({ key: b(key), value: b(value) });
  }
  return store;
}

it("starts at revision 1; a write of something raises it, a write of nothing does not", () => {
  const store = newStore();
  expect(store.revision).toBe(1);
  expect(store.put({ key: b("a"), value: b("1") }).revision).toBe(2);
  expect(store.deleteRange({ key: b("zz") })).toEqual({ revision: 2, deleted: 0, prevKvs: [], changes: undefined });
  expect(store.txn(then(del("zz"), get("a"))).revision).toBe(2);
  expect(store.txn(then()).changes).toBeUndefined();
  expect(store.deleteKeys([b("zz")]).revision).toBe(2);
  expect(store.txn(then(put("a"), put("b"), del("c"))).revision).toBe(3);
});

it.each<[string, Partial<RangeOptions>, string, number, boolean]>([
  ["all", {}, "a=3 b=2 c=1", 3, false],
  ["one key", { key: b("b"), end: undefined }, "b=2", 1, false],
  ["end excluded", { key: b("a"), end: b("c") }, "a=3 b=2", 2, false],
  ["from a key on", { key: b("b"), end: b("\0") }, "b=2 c=1", 2, false],
  ["end before the key", { key: b("c"), end: b("a") }, "", 0, false],
  ["limit below the number", { limit: 2 }, "a=3 b=2", 3, true],
  ["limit equal to the number", { limit: 3 }, "a=3 b=2 c=1", 3, false],
  ["descending, limited", { sortOrder: "descend", limit: 1 }, "c=1", 3, true],
  ["by value without an order", { sortTarget: "value" }, "c=1 b=2 a=3", 3, false],
  // Only the first three in key order are looked at, as in etcd, because no order was asked for.
  ["by value without an order, limited to 2", { sortTarget: "value", limit: 2 }, "c=1 b=2", 3, true],
  ["by value without an order, limited to 1", { sortTarget: "value", limit: 1 }, "b=2", 3, true],
  ["by value, ascending, limited", { sortTarget: "value", sortOrder: "ascend", limit: 1 }, "c=1", 3, true],
  ["by create, descending, limited", { sortTarget: "create", sortOrder: "descend", limit: 2 }, "c=1 b=2", 3, true],
  ["by version: ties in key order", { sortTarget: "version", sortOrder: "descend" }, "a=3 b=2 c=1", 3, false],
  ["a filter leaves count alone", { minModRevision: 3 }, "b=2 c=1", 3, false],
  ["a filter comes before the limit", { minModRevision: 3, limit: 2 }, "b=2 c=1", 3, false],
  ["create filter", { maxCreateRevision: 2 }, "a=3", 3, false],
  ["keys only", { keysOnly: true }, "a= b= c=", 3, false],
  ["count only", { countOnly: true, limit: 1 }, "", 3, false],
  ["an older revision", { revision: 3 }, "a=3 b=2", 2, false],
  ["a negative revision is the latest", { revision: -1 }, "a=3 b=2 c=1", 3, false],
])("range: %s", (_title, options, want, count, more) => {
  const result = storeWith("a=3", "b=2", "c=1").range({ ...ALL, ...options });
  expect([show(result.kvs), result.count, result.more, result.revision]).toEqual([want, count, more, 4]);
});

it("keys only has no leases, unless it had to sort by value", () => {
  const store = newStore();
  for (const key of ["a", "b"]) store.put({ key: b(key), value: b("v"), lease: 4n });
  const leases = (o: Partial<RangeOptions>) => store.range({ ...ALL, keysOnly: true, ...o }).kvs.map((kv) => kv.lease);
  expect(leases({})).toEqual([0n, 0n]);
  expect(leases({ sortTarget: "value" })).toEqual([4n, 4n]);
  expect(leases({ key: b("a"), end: undefined })).toEqual([0n]);
  expect(leases({ key: b("a"), end: undefined, sortTarget: "value" })).toEqual([4n]);
});

it("answers a bad revision with etcd's texts", () => {
  const store = storeWith("a", "b", "c");
  store.compact(3);
  const texts = [2, 5].map((revision) => {
    try {
      return store.range({ ...ALL, revision }).count;
    } catch (error) {
      return (error as { etcdText: string }).etcdText;
    }
  });
  expect(texts).toEqual([
    "etcdserver: mvcc: required revision has been compacted",
    "etcdserver: mvcc: required revision is a future revision",
  ]);
  expect(() => store.compact(3)).toThrow("has been compacted");
  expect(() => store.compact(5)).toThrow("future revision");
});

const cmp = (target: "version" | "create" | "mod", result: Compare["result"], operand: number, key = "a"): Compare => ({
  key: b(key),
  target,
  result,
  operand,
});
const val = (result: Compare["result"], operand: string, key = "a"): Compare => {
  return { key: b(key), target: "value", result, operand: b(operand) };
};
it.each<[string, Compare[], boolean]>([
  ["nothing to compare", [], true],
  ["version", [cmp("version", "equal", 2)], true],
  ["create", [cmp("create", "less", 3)], true],
  ["mod", [cmp("mod", "greater", 3)], false],
  ["value", [val("equal", "y")], true],
  ["all must hold", [val("equal", "y"), cmp("version", "notEqual", 2)], false],
  ["a missing key has version 0", [cmp("version", "equal", 0, "q")], true],
  ["a missing key is less than 1", [cmp("mod", "less", 1, "q")], true],
  ["a missing key's value never compares equal", [val("equal", "", "q")], false],
  ["nor unequal", [val("notEqual", "x", "q")], false],
  ["a range: every key", [{ ...cmp("version", "greater", 0), end: b("c") }], true],
  ["a range: one key fails", [{ ...cmp("version", "greater", 1), end: b("c") }], false],
  ["an empty range is a missing key", [{ ...cmp("create", "equal", 0, "p"), end: b("q") }], true],
  ["a lease", [{ key: b("b"), target: "lease", result: "equal", operand: 9n }], true],
  ["no lease is 0", [{ key: b("a"), target: "lease", result: "equal", operand: 0n }], true],
])("txn compares: %s", (_title, compare, want) => {
  const store = storeWith("a=x", "a=y");
  store.put({ key: b("b"), value: b(""), lease: 9n });
  expect(store.txn({ compare, success: [], failure: [] }).succeeded).toBe(want);
});

it("a range inside a txn sees the operations before it, and the revision to come", () => {
  const store = storeWith("a=1");
  const { results, revision } = store.txn(
    then(get("a"), put("b", "2"), get("b"), del("a"), get("\0", { end: b("\0") })),
  );
  const ranges = results.flatMap((r) => (r.type === "range" ? [[show(r.result.kvs), r.result.revision]] : []));
  expect(ranges).toEqual([
    ["a=1", 2],
    ["b=2", 3],
    ["b=2", 3],
  ]);
  expect(revision).toBe(3);
  expect(results.map((r) => r.type)).toEqual(["range", "put", "range", "deleteRange", "range"]);
});

it("a range in a txn may not ask below the compacted revision, not even for a negative one", () => {
  const store = storeWith("a=1", "a=2", "a=3");
  const ask = (revision: number) => () => store.txn(then(get("a", { revision }))).succeeded;
  expect(ask(-1)()).toBe(true);
  expect(ask(-2)).toThrow("compacted");
  expect(store.range({ key: b("a"), revision: -2 }).count).toBe(1);
  store.compact(3);
  expect(ask(-1)).toThrow("compacted");
  expect(ask(2)).toThrow("compacted");
  expect(ask(0)()).toBe(true);
  expect(ask(3)()).toBe(true);
  expect(ask(5)).toThrow("future");
});

it("looks for the lease of a put before its key", () => {
  const store = newStore();
  const options = { key: b("a"), value: b(""), lease: 9n, ignoreValue: true };
  expect(() => store.put(options, { leaseExists: () => false })).toThrow("lease");
  expect(() => store.put(options, { leaseExists: () => true })).toThrow("key");
});

it("compares of nested txns look at the state before the whole txn", () => {
  const store = storeWith("a=1");
  const { results } = store.txn(
    then(put("a", "2"), nested([put("b", "then")], [val("equal", "1")], [put("b", "else")])),
  );
  expect(results[1]).toMatchObject({ type: "txn", succeeded: true });
  expect(show(store.range(ALL).kvs)).toBe("a=2 b=then");
});

it.each<[string, TxnOp[], string | undefined, string | undefined]>([
  ["a key twice", [put("a"), put("a")], "a", "a"],
  ["put and deleted", [put("a"), del("a")], "a", "a"],
  ["put and deleted as part of a range", [del("\0", "\0"), put("a")], "a", "a"],
  ["deleted twice", [del("a"), del("\0", "\0")], undefined, undefined],
  ["twice in nested txns", [nested([put("a")]), nested([put("a")])], "a", "a"],
  ["put in one nested txn, deleted in the next", [nested([put("a")]), nested([del("a")])], "a", "a"],
  ["then and else exclude each other", [nested([put("a")], [], [put("a")])], undefined, undefined],
  ["outside and in an else that does not run", [put("a"), nested([], [], [put("a")])], "a", undefined],
])("duplicate keys: %s", (_title, ops, anywhere, onPath) => {
  const found = findDuplicateKey(ops);
  expect(found === undefined ? undefined : bytesToKey(found)).toBe(anywhere);
  const store = storeWith("z");
  const run = () => store.txn(then(...ops)).succeeded;
  const outcome = onPath === undefined ? run() : refused(run);
  expect(outcome).toBe(onPath === undefined ? true : "ERR_DUPLICATE_KEY");
  expect(store.revision).toBe(onPath === undefined ? 3 : 2);
});

function refused(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "not refused";
}

it.each<[string, Txn, string]>([
  ["an unknown lease", then(put("new"), put("a", "", { lease: 5n })), "ERR_LEASE_NOT_FOUND"],
  ["ignoreValue of a missing key", then(put("new"), put("q", "", { ignoreValue: true })), "ERR_KEY_NOT_FOUND"],
  ["ignoreLease of a missing key", then(put("new"), put("q", "", { ignoreLease: true })), "ERR_KEY_NOT_FOUND"],
  ["a range in the future", then(put("new"), get("a", { revision: 9 })), "ERR_FUTURE_REVISION"],
  ["a range that is compacted", then(put("new"), nested([get("a", { revision: 2 })])), "ERR_COMPACTED"],
])("a refused txn changes nothing: %s", (_title, txn, code) => {
  const backend = new MemoryBackend();
  const store = newStore(backend);
  for (const key of ["a", "b", "c"]) store.put({ key: b(key), value: b("") });
  store.compact(3);
  const before = backend.entries();
  expect(refused(() => store.txn(txn, { leaseExists: () => false }))).toBe(code);
  expect([store.revision, show(store.range(ALL).kvs)]).toEqual([4, "a= b= c="]);
  expect(backend.entries()).toEqual(before);
});

it("tells the lessor what a key was and is attached to", () => {
  const store = newStore();
  const attach = (lease: bigint, more = {}) => store.put({ key: b("a"), value: b(""), lease, ...more }).changes;
  const moves = [attach(0n), attach(5n), attach(6n), attach(0n, { ignoreLease: true }), attach(0n), attach(7n)];
  moves.push(store.deleteRange({ key: b("a") }).changes, attach(0n));
  expect(moves.map((c) => c?.events.map((e) => [e.oldLease, e.newLease])[0])).toEqual([
    [0n, 0n],
    [0n, 5n],
    [5n, 6n],
    [6n, 6n],
    [6n, 0n],
    [0n, 7n],
    [7n, 0n],
    [0n, 0n],
  ]);
});

it("deletes the keys of a lease in byte order and one revision", () => {
  const store = storeWith("a", "b", "c", "d");
  const { deleted, changes } = store.deleteKeys(["d", "a", "x", "a"].map(b));
  expect([deleted, changes?.revision, changes?.events.map((e) => e.name)]).toEqual([2, 6, ["a", "d"]]);
});

it("a delete's event has only the key and its revision; versions begin again after it", () => {
  const store = storeWith("a=1", "a=2");
  const event = store.deleteRange({ key: b("a"), prevKv: true }).changes?.events[0];
  const nothing = { createRevision: 0, version: 0, value: new Uint8Array(0), lease: 0n };
  expect(event).toMatchObject({ type: "delete", kv: { key: b("a"), modRevision: 4, ...nothing } });
  expect(event?.prevKv).toMatchObject({ createRevision: 2, modRevision: 3, version: 2 });
  store.put({ key: b("a"), value: b("3") });
  expect(store.range({ key: b("a") }).kvs[0]).toMatchObject({ createRevision: 5, modRevision: 5, version: 1 });
});

it("compaction keeps what can be read at its revision, and hides the rest at once", () => {
  const backend = new MemoryBackend();
  const store = newStore(backend);
  for (const v of ["1", "2", "3"]) store.put({ key: b("a"), value: b(v) });
  store.put({ key: b("b"), value: b("1") });
  store.deleteRange({ key: b("b") });
  const before = backend.size;
  store.compact(6);
  expect(backend.size).toBe(before + 1);
  expect(() => store.range({ ...ALL, revision: 5 })).toThrow("has been compacted");
  expect(show(store.range({ ...ALL, revision: 6 }).kvs)).toBe("a=3");
  // The tombstone at the compact revision stays: a watch may start there.
  expect(store.scrub(100)).toEqual({ done: true, deleted: 3 });
  expect(store.eventsSince(6).map((h) => h.events.map((e) => e.type))).toEqual([["delete"]]);
  expect(store.put({ key: b("c"), value: b("") }).revision).toBe(7);
  store.compact(7);
  expect(store.scrub(100)).toEqual({ done: true, deleted: 1 });
});

it("scrubs in steps; a later compaction takes over an unfinished one", () => {
  const store = newStore();
  for (let i = 0; i < 50; i++) store.put({ key: b(`k${i % 5}`), value: b("") });
  store.compact(20);
  expect(store.scrub(7)).toEqual({ done: false, deleted: 2 });
  store.compact(40);
  let deleted = 2;
  for (let done = false; !done; ) {
    const step = store.scrub(7);
    done = step.done;
    deleted += step.deleted;
  }
  // 39 changes at or below revision 40, five of them still readable.
  expect(deleted).toBe(34);
});

it("a later compaction drops the tombstones that one stopped in the middle of a revision had kept", () => {
  const backend = new MemoryBackend();
  const store = newStore(backend);
  store.txn(then(put("a"), put("b"), put("c")));
  store.deleteRange(ALL);
  store.put({ key: b("d"), value: b("") });
  store.compact(3);
  expect(store.scrub(5)).toEqual({ done: false, deleted: 2 });
  store.compact(4);
  expect(store.scrub(100)).toEqual({ done: true, deleted: 4 });
  // What is left: the put of d, the current revision, the compaction.
  expect(backend.size).toBe(3);
});

it("reads history in bounds, at least one revision", () => {
  const store = storeWith("a=1", "b=2", "c=3");
  store.txn(then(put("d"), put("e")));
  const revisions = (o: object, start = 2) => store.eventsSince(start, o).map((h) => h.revision);
  expect(revisions({})).toEqual([2, 3, 4, 5]);
  expect(revisions({}, 0)).toEqual([2, 3, 4, 5]);
  expect(revisions({ maxRevisions: 2 }, 3)).toEqual([3, 4]);
  expect(revisions({ maxBytes: 1 }, 5)).toEqual([5]);
  expect(revisions({}, 6)).toEqual([]);
  store.compact(4);
  expect(() => store.eventsSince(3)).toThrow("has been compacted");
});

it("refuses all work after a write that failed half-way", () => {
  const backend = new MemoryBackend();
  let broken = false;
  const store = newStore({
    get: (k) => backend.get(k),
    delete: (k) => backend.delete(k),
    put(k, v) {
      if (broken) throw new Error("disk full");
      backend.put(k, v);
    },
  });
  store.put({ key: b("a"), value: b("1") });
  broken = true;
  expect(() => store.put({ key: b("b"), value: b("2") })).toThrow("disk full");
  broken = false;
  for (const use of [() => store.range(ALL), () => store.put({ key: b("c"), value: b("") }), () => store.scrub(1)])
    expect(use).toThrow("must be restored from disk");
});

it("keeps inside its prefix", () => {
  const backend = new MemoryBackend();
  const stores = [0, 1, 255].map((prefix) => new MvccStore({ backend, prefix }));
  for (const [i, store] of stores.entries()) store.put({ key: b(`k${i}`), value: b("") });
  expect(stores.map((store) => show(store.range(ALL).kvs))).toEqual(["k0=", "k1=", "k2="]);
  expect(() => new MvccStore({ backend, prefix: 256 })).toThrow("one byte");
});
