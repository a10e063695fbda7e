import { expect, it } from "vitest";
import { bytesToKey, MemoryBackend, MvccRestore, MvccStore } from "./index.ts";

const b = (s: string) => new TextEncoder().encode(s);
const show = (kvs: readonly { key: Uint8Array; value: Uint8Array }[]) =>
  kvs.map((kv) => `${bytesToKey(kv.key)}=${bytesToKey(kv.value)}`).join(" ");
const ALL = { key: b("\0"), end: b("\0") };

it("starts at revision 1 and counts a revision per write", () => {
  const store = new MvccStore({ backend: new MemoryBackend(), prefix: 7 });
  expect(store.revision).toBe(1);
  expect(store.put({ key: b("a"), value: b("1") }).revision).toBe(2);
  expect(store.deleteRange({ key: b("zz") })).toMatchObject({ deleted: 0, revision: 2, changes: undefined });
  expect(store.put({ key: b("a"), value: b("2"), prevKv: true }).prevKv).toMatchObject({ version: 1, modRevision: 2 });
  expect(store.put({ key: b("b"), value: b("3") }).revision).toBe(4);
  expect(show(store.range(ALL).kvs)).toBe("a=2 b=3");
  expect(show(store.range({ ...ALL, revision: 2 }).kvs)).toBe("a=1");
  store.compact(3);
  expect(() => store.range({ ...ALL, revision: 2 })).toThrow("has been compacted");
  expect(store.scrub(100)).toEqual({ done: true, deleted: 1 });
});

it("restores what was written", () => {
  const backend = new MemoryBackend();
  const store = new MvccStore({ backend, prefix: 7 });
  for (let i = 0; i < 300; i++) store.put({ key: b(`k${i % 70}`), value: b(`${i}`) });
  const restore = new MvccRestore({ backend, prefix: 7 });
  restore.feed(backend.entries());
  const again = restore.finish().store;
  expect(again.stateHash()).toEqual(store.stateHash());
  expect(again.range(ALL)).toEqual(store.range(ALL));
  expect(again.hashKv()).toEqual(store.hashKv());
});
