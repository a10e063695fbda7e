import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openLevelStore, type StoreOpenError, type StoreWriteError } from "@keelson/storage";

// Fills a small file system with a store, makes room, opens it again; prints what it saw as JSON. Run by full-disk.test.ts.
const dir = process.argv[2] ?? "";
const ballast = join(dir, "ballast");
await writeFile(ballast, Buffer.alloc(1024 * 1024));
const key = (n: number) => Buffer.from(String(n).padStart(8, "0"));
const reasons: string[] = [];
let acknowledged = 0;

let store = await openLevelStore(join(dir, "store"), { writeBufferBytes: 256 * 1024 });
try {
  for (;;) {
    await store.write([{ type: "put", key: key(acknowledged + 1), value: Buffer.alloc(1_000, "x") }], {
      sync: acknowledged % 5 === 0,
    });
    acknowledged++;
  }
} catch (error) {
  reasons.push((error as StoreWriteError).reason);
}
await store.write([], { sync: true }).catch((error: StoreWriteError) => reasons.push(error.reason));
const isReadable = store.get(key(acknowledged)) !== undefined;
await store.close();

await writeFile(join(dir, "rest"), Buffer.alloc(8 * 1024 * 1024)).catch(() => {});
await openLevelStore(join(dir, "other")).catch((error: StoreOpenError) => reasons.push(error.reason));
await rm(ballast);
await rm(join(dir, "rest"));

store = await openLevelStore(join(dir, "store"));
let found = 0;
for await (const chunk of store.scan()) found += chunk.length;
await store.write([{ type: "put", key: key(0), value: Buffer.alloc(1) }], { sync: true });
await store.close();
process.stdout.write(JSON.stringify({ reasons, acknowledged, found, isReadable }));
