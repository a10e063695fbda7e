import { expect, it } from "vitest";
import { Prng } from "./prng.ts";
import { SimClock } from "./sim-clock.ts";
import { type DiskOp, SimDisk } from "./sim-disk.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const put = (key: string, value: string): DiskOp => ({ type: "put", key: bytes(key), value: bytes(value) });
const text = (value: Uint8Array | undefined) => (value === undefined ? undefined : Buffer.from(value).toString());

function setUp(seed: number) {
  const clock = new SimClock();
  const disk = new SimDisk({ rng: new Prng(seed) });
  return { clock, disk, mount: () => disk.mount(clock) };
}

it("keeps what was synced and a prefix of the rest, for every seed", async () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 300; seed++) {
    const { clock, disk, mount } = setUp(seed);
    const before = mount();
    before.append([put("n", "1")]);
    const synced = before.sync();
    before.append([put("n", "2")]);
    clock.run(10);
    await synced;
    before.append([put("n", "3"), put("m", "3")]);
    expect(disk.unsyncedBatches).toBe(2);
    const report = disk.crash(new Prng(`cut ${seed}`));
    const after = mount();
    const n = text(after.get(bytes("n")));
    expect(Number(n)).toBe(1 + report.keptBatches);
    // Both changes of a batch, or neither.
    expect(text(after.get(bytes("m")))).toBe(n === "3" ? "3" : undefined);
    seen.add(`${report.keptBatches} ${report.torn}`);
  }
  expect([...seen].toSorted()).toEqual(["0 false", "0 true", "1 false", "1 true", "2 false"]);
});

it("never returns from an fsync that a crash overtook, and ignores a dead program", async () => {
  const { clock, disk, mount } = setUp(1);
  const dead = mount();
  dead.append([put("a", "1")]);
  let returned = false;
  void dead.sync().then(() => {
    returned = true;
  });
  disk.killProcess();
  dead.append([put("b", "1")]);
  await clock.runAsync(100);
  expect(returned).toBe(false);
  const alive = mount();
  expect(text(alive.get(bytes("a")))).toBe("1");
  expect(alive.get(bytes("b"))).toBeUndefined();
});

it("drops what a failed fsync was asked to save, even when a later one succeeds", async () => {
  const { clock, disk, mount } = setUp(1);
  const program = mount();
  program.append([put("a", "1")]);
  disk.faults.fsyncError = 1;
  const failed = program.sync().catch((error: unknown) => error);
  await clock.runAsync(10);
  expect(await failed).toMatchObject({ code: "EIO" });
  disk.faults.fsyncError = 0;
  program.append([put("b", "1")]);
  const retried = program.sync();
  await clock.runAsync(20);
  await retried;
  disk.crash(new Prng(1));
  expect(mount().keys()).toEqual([]);
});

it("lies about fsync when told to", async () => {
  let lost = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const { clock, disk, mount } = setUp(seed);
    disk.faults.lyingFsync = true;
    const program = mount();
    program.append([put("a", "1")]);
    const synced = program.sync();
    await clock.runAsync(10);
    await synced;
    disk.crash(new Prng(seed));
    if (mount().get(bytes("a")) === undefined) lost++;
  }
  expect(lost).toBeGreaterThan(5);
});

it("refuses a batch that does not fit and changes nothing", () => {
  const disk = new SimDisk({ rng: new Prng(1), capacityBytes: 100 });
  const program = disk.mount(new SimClock());
  program.append([put("a", "x".repeat(60))]);
  const used = disk.usedBytes;
  expect(() => program.append([put("b", "x"), put("c", "x".repeat(60))])).toThrow(/no space left/);
  expect(program.keys()).toEqual(["a"]);
  expect(disk.usedBytes).toBe(used);
  program.append([{ type: "del", key: bytes("a") }]);
  expect(disk.usedBytes).toBe(0);
});

it("reads in byte order within bounds and deletes ranges", () => {
  const { mount } = setUp(1);
  const program = mount();
  const keys = [[0xff], [0], [], [1, 0], [1], [0x80]].map((k) => new Uint8Array(k));
  program.append(keys.map((key) => ({ type: "put", key, value: new Uint8Array([1]) })));
  expect(program.keys().map((k) => Buffer.from(k, "latin1").toString("hex"))).toEqual([
    "",
    "00",
    "01",
    "0100",
    "80",
    "ff",
  ]);
  expect(program.keys(new Uint8Array([1]), new Uint8Array([0x80]))).toHaveLength(2);
  program.append([{ type: "delRange", gte: new Uint8Array([1]), lt: new Uint8Array([0xff]) }]);
  expect(program.keys()).toHaveLength(3);
});
