import { openLevelStore } from "@keelson/storage";
import { tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { describeKvStore, scanAll } from "./contract.ts";

describeKvStore("LevelStore", { powerCut: false }, async () => {
  const dir = await tempDir("level");
  let store: Awaited<ReturnType<typeof openLevelStore>> | undefined;
  return {
    async open() {
      store = await openLevelStore(dir.join("store"));
      return store;
    },
    drive: (promise) => promise,
    async [Symbol.asyncDispose]() {
      await store?.close();
      await dir[Symbol.asyncDispose]();
    },
  };
});

it("keeps everything across many log files and makes each durable before the next is relied on", async () => {
  await using dir = await tempDir("level");
  const value = Buffer.alloc(10_000, "v");
  {
    await using store = await openLevelStore(dir.path, { writeBufferBytes: 256 * 1024 });
    for (let i = 0; i < 200; i++) {
      await store.write([{ type: "put", key: Buffer.from(`k${i}`), value }], { sync: i % 10 === 0 });
    }
    expect(store.logSwitches).toBeGreaterThan(4);
  }
  await using store = await openLevelStore(dir.path);
  expect(await scanAll(store)).toHaveLength(200);
});

it("gives back room on compaction", async () => {
  await using dir = await tempDir("level");
  await using store = await openLevelStore(dir.path);
  await store.write([{ type: "put", key: Buffer.from("a"), value: Buffer.alloc(1_000) }], { sync: true });
  await store.compact();
  expect(store.get(Buffer.from("a"))?.length).toBe(1_000);
  // The flush of the memory table began a new log.
  await store.write([{ type: "put", key: Buffer.from("b"), value: Buffer.alloc(1_000) }], { sync: true });
  expect(store.logSwitches).toBe(1);
});
