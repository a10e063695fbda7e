import { expect, it } from "vitest";
import { RECORD_SPACE } from "./codec.ts";
import { bytesToKey, CorruptValueError, MemoryBackend, MissingRevisionError, MvccRestore, MvccStore } from "./index.ts";

const PREFIX = 0x6b;
const b = (s: string) => new TextEncoder().encode(s);

type Pair = readonly [Uint8Array, Uint8Array];

/** Ten puts over three keys, one delete, one txn of three changes: revisions 2 to 13. */
function fill(): { store: MvccStore; backend: MemoryBackend } {
  const backend = new MemoryBackend();
  const store = new MvccStore({ backend, prefix: PREFIX });
  for (let i = 0; i < 10; i++) store.put({ key: b(`k${i % 3}`), value: b(`v${i}`), lease: i === 9 ? 42n : 0n });
  store.deleteRange({ key: b("k1") });
  store.txn({
    compare: [],
    success: ["x", "y", "z"].map((k) => ({ type: "put", put: { key: b(k), value: b("t"), lease: 7n } })),
    failure: [],
  });
  return { store, backend };
}

/** Restores from pairs; the backend's own content is those pairs, too. */
function restore(pairs: readonly Pair[], chunk = 4) {
  const backend = new MemoryBackend();
  for (const [key, value] of pairs) backend.put(key, value);
  const restoring = new MvccRestore({ backend, prefix: PREFIX });
  for (let i = 0; i < pairs.length; i += chunk) restoring.feed(pairs.slice(i, i + chunk));
  return restoring.finish();
}

const isRecord = ([key]: Pair) => key[1] === RECORD_SPACE;

it("gives an empty store for an empty scan", () => {
  expect(restore([]).store.stateHash()).toEqual({ revision: 1, hash: "0000000000000000", keys: 0 });
});

it.each([1, 2, 5, 1000])("gives the same store with chunks of %i", (chunk) => {
  const { store, backend } = fill();
  const { store: again, leases } = restore(backend.entries(), chunk);
  expect(again.stateHash()).toEqual(store.stateHash());
  expect(again.hashKv()).toEqual(store.hashKv());
  expect(again.eventsSince(2).map((h) => h.events.map((e) => [e.type, e.name]))).toEqual(
    store.eventsSince(2).map((h) => h.events.map((e) => [e.type, e.name])),
  );
  expect(leases.map((l) => [bytesToKey(l.key), l.lease])).toEqual([
    ["k0", 42n],
    ["x", 7n],
    ["y", 7n],
    ["z", 7n],
  ]);
});

it("names the revision of a flipped byte, wherever it is", () => {
  const { backend } = fill();
  const pairs = backend.entries();
  for (const [i, [key, value]] of pairs.entries()) {
    for (let at = 0; at < value.length; at++) {
      const bad = value.slice();
      bad[at] = (bad[at] as number) ^ 0x10;
      const damaged = pairs.map((pair, j): Pair => (i === j ? [key, bad] : pair));
      expect(() => restore(damaged)).toThrow(expect.objectContaining({ code: "ERR_CORRUPT_VALUE" }));
    }
  }
});

it("finds any missing record", () => {
  const { backend } = fill();
  const pairs = backend.entries();
  for (const [i, pair] of pairs.entries()) {
    if (!isRecord(pair)) continue;
    const without = pairs.filter((_, j) => j !== i);
    expect(() => restore(without)).toThrow(expect.objectContaining({ code: "ERR_MISSING_REVISION" }));
  }
  expect(() => restore(pairs.slice(0, -3))).toThrow("revisions from 13 on are missing");
});

it("after a compaction, finds any missing record that could still be read", () => {
  const { store, backend } = fill();
  store.compact(11);
  for (const budget of [1, 4, 1, 1000]) {
    store.scrub(budget);
    const pairs = backend.entries();
    const outcomes = pairs.map((_, i) => (isRecord(pairs[i] as Pair) ? withoutRecord(store, pairs, i) : "detected"));
    expect(outcomes).not.toContain("lost");
    expect(outcomes.filter((o) => o === "detected").length).toBeGreaterThan(8);
  }
});

/** What a restore makes of the loss of one pair: what can be read is the same, or the loss is noticed. */
function withoutRecord(store: MvccStore, pairs: readonly Pair[], i: number): "detected" | "harmless" | "lost" {
  try {
    const again = restore(pairs.filter((_, j) => j !== i)).store;
    return again.hashKv().hash === store.hashKv().hash ? "harmless" : "lost";
  } catch (error) {
    if (error instanceof MissingRevisionError || error instanceof CorruptValueError) return "detected";
    throw error;
  }
}

it("refuses records without the record of the current revision", () => {
  const { backend } = fill();
  expect(() => restore(backend.entries().filter(isRecord))).toThrow("the current revision is not recorded");
});

it("refuses records later than the current revision", () => {
  const { store, backend } = fill();
  const current = backend.entries().filter((pair) => !isRecord(pair));
  store.put({ key: b("late"), value: b("") });
  expect(() => restore([...current, ...backend.entries().filter(isRecord)])).toThrow("revision 14 is later");
});

it("goes on with a compaction where the last step left it", () => {
  const { store, backend } = fill();
  store.compact(10);
  store.scrub(3);
  const { store: again } = restore(backend.entries());
  expect(again.scrubbing).toBe(true);
  expect(again.compactRevision).toBe(10);
  expect(() => again.range({ key: b("k0"), revision: 9 })).toThrow("has been compacted");
});
