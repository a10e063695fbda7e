import { compareBytes, type KvEntry, type KvStore, type ScanOptions, type WriteOp } from "@keelson/storage";
import { Prng } from "@keelson/testkit";
import { afterEach, describe, expect, it } from "vitest";

/** One store of an implementation, with content that survives `reopen`. */
export interface StoreSubject extends AsyncDisposable {
  /** Opens the content; the one opened before is closed or dead. */
  open(): Promise<KvStore>;
  /** Waits for a promise of the store, letting virtual time pass if there is one. */
  drive<T>(promise: Promise<T>): Promise<T>;
  /** Cuts the power, if the implementation can. The store that is open is dead then. */
  powerCut?(seed: number): Promise<void>;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined) => (value === undefined ? undefined : Buffer.from(value).toString());
const put = (key: string, value: string): WriteOp => ({ type: "put", key: bytes(key), value: bytes(value) });
const del = (key: string): WriteOp => ({ type: "del", key: bytes(key) });
const delRange = (gte: string, lt: string): WriteOp => ({ type: "delRange", gte: bytes(gte), lt: bytes(lt) });

/** All entries of a scan. */
export async function scanAll(store: KvStore, options?: ScanOptions): Promise<KvEntry[]> {
  const entries: KvEntry[] = [];
  for await (const chunk of store.scan(options)) entries.push(...chunk);
  return entries;
}

/** What an implementation can be put through. */
export interface StoreSupports {
  /** Its subjects have `powerCut`. The real one is tried by killing a process, see durability.test.ts. */
  readonly powerCut: boolean;
}

/** What every {@link KvStore} must do. Call it in a test file with a factory of fresh stores. */
export function describeKvStore(name: string, supports: StoreSupports, create: () => Promise<StoreSubject>): void {
  describe(`${name} as a KvStore`, () => {
    const subjects: StoreSubject[] = [];
    afterEach(async () => {
      for (const subject of subjects.splice(0)) await subject[Symbol.asyncDispose]();
    });
    const setUp = async () => {
      const subject = await create();
      subjects.push(subject);
      return { subject, store: await subject.open() };
    };
    testPoints(setUp);
    testOrder(setUp);
    testScans(setUp);
    testRanges(setUp);
    testLife(setUp);
    testModel(setUp);
    if (supports.powerCut) testPowerCut(setUp);
  });
}

type SetUp = () => Promise<{ subject: StoreSubject; store: KvStore }>;

function testPoints(setUp: SetUp): void {
  it("puts, overwrites and deletes", async () => {
    const { subject, store } = await setUp();
    expect(store.get(bytes("a"))).toBeUndefined();
    await subject.drive(store.write([put("a", "1"), put("b", "2")], { sync: false }));
    expect(text(store.get(bytes("a")))).toBe("1");
    await subject.drive(store.write([put("a", "3"), del("b"), del("never")], { sync: true }));
    expect(text(store.get(bytes("a")))).toBe("3");
    expect(store.get(bytes("b"))).toBeUndefined();
  });

  it("takes empty keys, empty values, empty batches and any bytes", async () => {
    const { subject, store } = await setUp();
    const all = new Uint8Array(256).map((_, i) => i);
    const empty = new Uint8Array(0);
    await subject.drive(
      store.write(
        [
          { type: "put", key: empty, value: all },
          { type: "put", key: all, value: empty },
        ],
        { sync: true },
      ),
    );
    await subject.drive(store.write([], { sync: false }));
    await subject.drive(store.write([], { sync: true }));
    expect(Buffer.compare(store.get(empty) ?? empty, all)).toBe(0);
    expect(store.get(all)?.length).toBe(0);
  });

  it("keeps its own copy of keys and values", async () => {
    const { subject, store } = await setUp();
    // A Buffer, whose slice() would share memory, within a larger one.
    const key = Buffer.from("xkeyx").subarray(1, 4);
    const value = Buffer.from("xvaluex").subarray(1, 6);
    await subject.drive(store.write([{ type: "put", key, value }], { sync: false }));
    key.fill(0);
    value.fill(0);
    expect(text(store.get(bytes("key")))).toBe("value");
  });

  it("takes values of a megabyte and batches of 20,000", async () => {
    const { subject, store } = await setUp();
    const value = new Prng("big").bytes(1024 * 1024);
    const ops: WriteOp[] = [{ type: "put", key: bytes("big"), value }];
    for (let i = 0; i < 20_000; i++) ops.push(put(`k${String(i).padStart(6, "0")}`, String(i)));
    await subject.drive(store.write(ops, { sync: true }));
    expect(Buffer.compare(store.get(bytes("big")) ?? bytes(""), value)).toBe(0);
    expect(text(store.get(bytes("k019999")))).toBe("19999");
    expect(await scanAll(store, { gte: bytes("k"), lt: bytes("l") })).toHaveLength(20_000);
  });
}

function testOrder(setUp: SetUp): void {
  it("completes writes in the order of the calls, whatever their sync", async () => {
    const { subject, store } = await setUp();
    const completed: number[] = [];
    const seen: (string | undefined)[] = [];
    const writes = Array.from({ length: 60 }, async (_, i) => {
      await store.write([put("last", String(i)), put(`k${i}`, "x")], { sync: i % 7 === 3 });
      completed.push(i);
      // A completed write is visible; a later one may be, too.
      seen.push(store.get(bytes(`k${i}`)) && text(store.get(bytes("last"))));
    });
    await subject.drive(Promise.all(writes));
    expect(completed).toEqual(Array.from({ length: 60 }, (_, i) => i));
    expect(seen.every((last, i) => Number(last) >= i)).toBe(true);
    expect(text(store.get(bytes("last")))).toBe("59");
  });

  it("applies the changes of a batch in their order", async () => {
    const { subject, store } = await setUp();
    await subject.drive(
      store.write([put("a", "1"), del("a"), put("b", "1"), put("b", "2"), del("c"), put("c", "1")], { sync: false }),
    );
    expect((await scanAll(store)).map(([k, v]) => `${text(k)}=${text(v)}`)).toEqual(["b=2", "c=1"]);
    expect(["a", "b", "c"].map((k) => text(store.get(bytes(k))))).toEqual([undefined, "2", "1"]);
  });
}

function testScans(setUp: SetUp): void {
  it("scans in byte order within bounds, forwards and backwards", async () => {
    const { subject, store } = await setUp();
    const keys = [[], [0], [0, 0], [1], [1, 255], [2], [127], [128], [255], [255, 255]].map((k) => new Uint8Array(k));
    const shuffled = new Prng("scan").shuffle(keys);
    await subject.drive(
      store.write(
        shuffled.map((key) => ({ type: "put", key, value: key })),
        { sync: false },
      ),
    );
    const hex = async (options?: ScanOptions) =>
      (await scanAll(store, options)).map(([k]) => Buffer.from(k).toString("hex"));
    const all = keys.map((k) => Buffer.from(k).toString("hex"));
    expect(await hex()).toEqual(all);
    expect(await hex({ reverse: true })).toEqual(all.toReversed());
    expect(await hex({ gte: new Uint8Array([1]) })).toEqual(all.slice(3));
    expect(await hex({ lt: new Uint8Array([1]) })).toEqual(all.slice(0, 3));
    expect(await hex({ gte: new Uint8Array([0, 0]), lt: new Uint8Array([128]) })).toEqual(all.slice(2, 7));
    expect(await hex({ gte: new Uint8Array([1]), lt: new Uint8Array([2]), reverse: true, limit: 1 })).toEqual(["01ff"]);
    expect(await hex({ limit: 3 })).toEqual(all.slice(0, 3));
    expect(await hex({ limit: 0 })).toEqual([]);
    expect(await hex({ gte: new Uint8Array([3]), lt: new Uint8Array([4]) })).toEqual([]);
    expect(await hex({ gte: new Uint8Array([4]), lt: new Uint8Array([3]) })).toEqual([]);
  });

  it("gives long scans in chunks, as of their beginning", async () => {
    const { subject, store } = await setUp();
    const key = (i: number) => `k${String(i).padStart(5, "0")}`;
    await subject.drive(
      store.write(
        Array.from({ length: 5_000 }, (_, i) => put(key(i), "old")),
        { sync: false },
      ),
    );
    const got: string[] = [];
    let chunks = 0;
    for await (const chunk of store.scan()) {
      if (chunks++ === 0)
        await subject.drive(store.write([put(key(4_999), "new"), del(key(4_998)), put("z", "")], { sync: false }));
      expect(chunk.length).toBeGreaterThan(0);
      got.push(...chunk.map(([k, v]) => `${text(k)} ${text(v)}`));
    }
    expect(chunks).toBeGreaterThan(1);
    expect(got).toEqual(Array.from({ length: 5_000 }, (_, i) => `${key(i)} old`));
  });

  it("lets a scan be left early", async () => {
    const { subject, store } = await setUp();
    await subject.drive(
      store.write(
        Array.from({ length: 5_000 }, (_, i) => put(`k${i}`, "")),
        { sync: false },
      ),
    );
    for await (const chunk of store.scan()) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    await subject.drive(store.close());
  });
}

function testRanges(setUp: SetUp): void {
  it("deletes ranges with what the batch put into them before, and not what it puts after", async () => {
    const { subject, store } = await setUp();
    await subject.drive(
      store.write(
        Array.from({ length: 3_000 }, (_, i) => put(`r${String(i).padStart(4, "0")}`, "")),
        { sync: false },
      ),
    );
    const waiting = store.write([put("r0500x", "waits in the queue before")], { sync: false });
    const range = store.write([put("r1", "before"), put("q", "outside"), delRange("r", "s"), put("r2", "after")], {
      sync: true,
    });
    const later = store.write([put("r3", "later")], { sync: false });
    await subject.drive(Promise.all([waiting, range, later]));
    expect((await scanAll(store)).map(([k]) => text(k))).toEqual(["q", "r2", "r3"]);
    await subject.drive(store.write([delRange("z", "a"), delRange("x", "y")], { sync: false }));
    expect(await scanAll(store)).toHaveLength(3);
  });
}

function testLife(setUp: SetUp): void {
  it("finishes the writes asked for before it closes, and refuses later ones", async () => {
    const { subject, store } = await setUp();
    const writes = [store.write([put("a", "1")], { sync: false }), store.write([put("b", "1")], { sync: true })];
    const closing = store.close();
    const late = store.write([put("c", "1")], { sync: false }).catch((error: unknown) => error);
    await subject.drive(Promise.all([...writes, closing, store.close()]));
    expect(await late).toMatchObject({ code: "ERR_STORE_CLOSED" });
    expect(() => store.get(bytes("a"))).toThrow(/closed/);
    await expect(scanAll(store)).rejects.toThrow(/closed/);
    const again = await subject.open();
    expect((await scanAll(again)).map(([k]) => text(k))).toEqual(["a", "b"]);
  });
}

function testModel(setUp: SetUp): void {
  it("agrees with a plain map through random batches and reopenings", async () => {
    const { subject, store: first } = await setUp();
    let store = first;
    const rng = new Prng("model");
    const model = new Map<string, string>();
    for (let round = 0; round < 60; round++) {
      const writes = Array.from({ length: rng.between(1, 4) }, () => {
        const ops = Array.from({ length: rng.between(0, 30) }, () => randomOp(rng));
        for (const op of ops) applyToModel(model, op);
        return store.write(ops, { sync: rng.chance(0.3) });
      });
      await subject.drive(Promise.all(writes));
      if (rng.chance(0.15)) {
        await subject.drive(store.close());
        store = await subject.open();
      }
      const [a, b] = [randomKey(rng), randomKey(rng)].map((k) => new Uint8Array([k]));
      const options: ScanOptions = {
        ...(rng.chance(0.5) && a && { gte: a }),
        ...(rng.chance(0.5) && b && { lt: b }),
        ...(rng.chance(0.3) && { limit: rng.between(0, 20) }),
        reverse: rng.chance(0.5),
      };
      const got = (await scanAll(store, options)).map(([k, v]) => `${Buffer.from(k).toString("hex")}=${text(v)}`);
      expect(got, `round ${round}`).toEqual(scanModel(model, options));
    }
  });
}

const KEYS = 200;
const randomKey = (rng: Prng) => rng.below(KEYS);

function randomOp(rng: Prng): WriteOp {
  const key = new Uint8Array([randomKey(rng)]);
  if (rng.chance(0.7)) return { type: "put", key, value: bytes(String(rng.below(1_000))) };
  if (rng.chance(0.8)) return { type: "del", key };
  return { type: "delRange", gte: key, lt: new Uint8Array([Math.min(KEYS, (key[0] ?? 0) + rng.below(20))]) };
}

function applyToModel(model: Map<string, string>, op: WriteOp): void {
  const hex = (key: Uint8Array) => Buffer.from(key).toString("hex");
  if (op.type === "put") model.set(hex(op.key), text(op.value) ?? "");
  else if (op.type === "del") model.delete(hex(op.key));
  else for (const key of model.keys()) if (key >= hex(op.gte) && key < hex(op.lt)) model.delete(key);
}

function scanModel(model: Map<string, string>, options: ScanOptions): string[] {
  const within = [...model].filter(([key]) => {
    const k = Buffer.from(key, "hex");
    return (!options.gte || compareBytes(k, options.gte) >= 0) && (!options.lt || compareBytes(k, options.lt) < 0);
  });
  const sorted = within.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => `${k}=${v}`);
  return (options.reverse === true ? sorted.toReversed() : sorted).slice(0, options.limit);
}

function testPowerCut(setUp: SetUp): void {
  it("loses nothing synced to a power cut, and of the rest whole batches from the end only", async () => {
    const { subject, store: first } = await setUp();
    expect("powerCut" in subject).toBe(true);
    let store = first;
    let written = 0;
    for (let seed = 1; seed <= 100; seed++) {
      const rng = new Prng(`cut ${seed}`);
      let durable = written;
      for (let i = rng.between(1, 8); i > 0; i--) {
        const sync = rng.chance(0.3);
        written++;
        await subject.drive(store.write([put("a", String(written)), put("b", String(written))], { sync }));
        if (sync) durable = written;
      }
      await subject.powerCut?.(seed);
      store = await subject.open();
      const found = Number(text(store.get(bytes("a"))) ?? "0");
      expect(text(store.get(bytes("b"))) ?? "0").toBe(String(found));
      expect(found).toBeGreaterThanOrEqual(durable);
      expect(found).toBeLessThanOrEqual(written);
      written = found;
    }
  });
}
