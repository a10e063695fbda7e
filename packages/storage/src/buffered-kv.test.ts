import { expect, it } from "vitest";
import { BufferedKv } from "./buffered-kv.ts";

const bytes = (text: string) => Buffer.from(text);

/** A store below whose writes are applied by hand. */
function setUp() {
  const below = new Map<string, Uint8Array>();
  const kv = new BufferedKv({ get: (key) => below.get(Buffer.from(key).toString()) });
  const get = (key: string) => {
    const value = kv.get(bytes(key));
    return value && Buffer.from(value).toString();
  };
  return { below, kv, get };
}

it("shows changes at once and collects them in order", () => {
  const { below, kv, get } = setUp();
  below.set("a", bytes("old"));
  kv.put(bytes("b"), bytes("1"));
  kv.delete(bytes("a"));
  kv.put(bytes("b"), bytes("2"));
  expect([get("a"), get("b")]).toEqual([undefined, "2"]);
  expect(kv.pending).toBe(3);
  expect(kv.take().ops.map((op) => op.type)).toEqual(["put", "del", "put"]);
  expect(kv.pending).toBe(0);
});

it("keeps showing a change until its batch is written, and a newer one beyond that", () => {
  const { below, kv, get } = setUp();
  kv.put(bytes("a"), bytes("1"));
  kv.put(bytes("b"), bytes("1"));
  const first = kv.take();
  kv.put(bytes("a"), bytes("2"));
  const second = kv.take();
  expect([get("a"), get("b")]).toEqual(["2", "1"]);
  below.set("a", bytes("1"));
  below.set("b", bytes("1, from below"));
  first.written();
  expect([get("a"), get("b")]).toEqual(["2", "1, from below"]);
  second.written();
  expect(get("a")).toBe("1");
});

it("writes itself to a store, with more behind", async () => {
  const { kv, get } = setUp();
  kv.put(bytes("a"), bytes("1"));
  let written = 0;
  const store = {
    async write(ops: readonly unknown[]) {
      written = ops.length;
    },
  } as unknown as Parameters<BufferedKv["writeTo"]>[0];
  const writing = kv.writeTo(store, { sync: true }, [{ type: "del", key: bytes("z") }]);
  expect(get("a")).toBe("1");
  await writing;
  expect(written).toBe(2);
  expect(get("a")).toBeUndefined();
});
