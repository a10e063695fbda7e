import { openLevelStore } from "@keelson/storage";

// Writes numbered batches, some synced, for ever; prints the number of each synced one when it is acknowledged.
const store = await openLevelStore(process.argv[2] ?? "", { writeBufferBytes: 64 * 1024 });
let count = 0;
for await (const chunk of store.scan()) count += chunk.length;
for (;;) {
  count++;
  const key = Buffer.alloc(4);
  key.writeUInt32BE(count);
  await store.write([{ type: "put", key, value: Buffer.from(String(count).padStart(100)) }], { sync: count % 3 === 0 });
  // Straight to the descriptor: console.log would buffer what the kill then takes.
  process.stdout.write(`${count % 3 === 0 ? count : `(${count})`}\n`);
}
