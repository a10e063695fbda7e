import { EMPTY_CONF_STATE, encodeConfState } from "@keelson/raft";
import { expect, it } from "vitest";
import { generationPrefix, generationRange, join, KIND, kindKey } from "./core/keys.ts";
import { encodePosition } from "./core/records.ts";
import { MemoryStore } from "./memory-store.ts";
import { peekHead, readSnapshot, SnapshotError, writeSnapshot } from "./snapshots.ts";

const CONF_STATE = { ...EMPTY_CONF_STATE, voters: [1n, 2n] };

async function filled(records: number): Promise<MemoryStore> {
  const store = new MemoryStore();
  const key = (k: Uint8Array) => join(generationPrefix(1), k);
  await store.write([
    { type: "put", key: key(kindKey(KIND.applied)), value: encodePosition({ index: 42, term: 3 }) },
    { type: "put", key: key(kindKey(KIND.confState)), value: encodeConfState(CONF_STATE) },
  ]);
  for (let i = 0; i < records; i++) {
    const k = new Uint8Array([KIND.mvcc, i >> 8, i & 255]);
    await store.write([{ type: "put", key: key(k), value: new Uint8Array(i % 5_000).fill(i) }]);
  }
  return store;
}

async function dump(store: MemoryStore, generation: number): Promise<string[]> {
  const out: string[] = [];
  for await (const chunk of store.scan(generationRange(generation))) {
    for (const [k, v] of chunk)
      out.push(`${Buffer.from(k.subarray(5)).toString("hex")}=${Buffer.from(v).toString("hex")}`);
  }
  return out;
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

async function* cutInto(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

it.each([1, 7, 4_096, 1 << 30])("what is read is what is written, in pieces of %i bytes", async (size) => {
  const from = await filled(size < 8 ? 30 : 600);
  const { position, confState, chunks } = await peekHead(readSnapshot(from, 1));
  expect(position).toEqual({ index: 42, term: 3 });
  expect(confState).toEqual(CONF_STATE);
  const to = new MemoryStore();
  await writeSnapshot(to, 9, cutInto(await collect(chunks), size));
  expect(await dump(to, 9)).toEqual(await dump(from, 1));
});

it("refuses a stream that ends early, misses a record or makes no sense", async () => {
  const bytes = await collect(readSnapshot(await filled(20), 1));
  const write = (b: Buffer) => writeSnapshot(new MemoryStore(), 2, cutInto(b, 1_000));
  await expect(write(bytes.subarray(0, -1))).rejects.toThrow(SnapshotError);
  await expect(write(bytes.subarray(0, 60))).rejects.toThrow(/cut short/);
  const first = 8 + bytes.readUInt32BE(0) + bytes.readUInt32BE(4);
  await expect(write(bytes.subarray(first))).rejects.toThrow(/21 of 22 records arrived/);
  await expect(write(Buffer.concat([bytes, bytes]))).rejects.toThrow(SnapshotError);
  await expect(write(Buffer.alloc(100, 0xff))).rejects.toThrow(/a record of/);
});
