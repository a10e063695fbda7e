import { expect, it } from "vitest";
import { StoreWriteError } from "./errors.ts";
import type { WriteOp } from "./kv-store.ts";
import { WriteQueue } from "./write-queue.ts";

const put = (key: string, bytes = 1): WriteOp => ({ type: "put", key: Buffer.from(key), value: Buffer.alloc(bytes) });
const range: WriteOp = { type: "delRange", gte: Buffer.from("a"), lt: Buffer.from("b") };

/** A queue whose batches finish when told to. */
function setUp() {
  const batches: { keys: string[]; sync: boolean; finish: (error?: Error) => void }[] = [];
  const queue = new WriteQueue((ops, sync) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const keys = ops.map((op) => (op.type === "delRange" ? "range" : Buffer.from(op.key).toString()));
    batches.push({ keys, sync, finish: (error) => (error === undefined ? resolve() : reject(error)) });
    return promise;
  });
  return { batches, queue };
}
const settle = () => new Promise((resolve) => void setImmediate(resolve));

it("groups what waits, syncs a group if any of it asks, and keeps ranges alone", async () => {
  const { batches, queue } = setUp();
  const writes = [queue.write([put("1")], { sync: false })];
  for (const [ops, sync] of [
    [[put("2")], false],
    [[put("3")], true],
    [[put("4"), range], false],
    [[put("5")], false],
    [[put("6", 5_000_000)], false],
    [[put("7")], true],
  ] as const) {
    writes.push(queue.write(ops, { sync }));
  }
  for (let i = 0; i < batches.length; i++) {
    batches[i]?.finish();
    await settle();
  }
  await Promise.all(writes);
  expect(batches.map((b) => [b.keys.join(","), b.sync])).toEqual([
    ["1", false],
    ["2,3", true],
    ["4,range", false],
    ["5", false],
    ["6", false],
    ["7", true],
  ]);
});

it("refuses everything after a failure, save after a range that is too large", async () => {
  const { batches, queue } = setUp();
  const large = queue.write([range], { sync: false });
  batches[0]?.finish(new StoreWriteError("too-large", "too large"));
  await expect(large).rejects.toMatchObject({ reason: "too-large" });
  const failing = queue.write([put("1")], { sync: true });
  const waiting = queue.write([put("2")], { sync: true }).catch((error: unknown) => error);
  await settle();
  batches[1]?.finish(Object.assign(new Error("write failed"), { code: "ENOSPC" }));
  await expect(failing).rejects.toMatchObject({ reason: "no-space", cause: { code: "ENOSPC" } });
  expect(await waiting).toMatchObject({ reason: "refused" });
  await expect(queue.write([put("3")], { sync: false })).rejects.toMatchObject({ reason: "refused" });
  expect(batches).toHaveLength(2);
  expect(queue.failure?.reason).toBe("no-space");
});
