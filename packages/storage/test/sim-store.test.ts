import { Prng, runSim, SimClock, SimDisk } from "@keelson/testkit";
import { expect, it } from "vitest";
import { describeKvStore, type StoreSubject } from "./contract.ts";
import { SimStore } from "./sim-store.ts";

function createSubject(
  disk = new SimDisk({ rng: new Prng("disk") }),
): StoreSubject & { clock: SimClock; disk: SimDisk } {
  const clock = new SimClock();
  return {
    clock,
    disk,
    async open() {
      return new SimStore({ disk, clock });
    },
    async drive(promise) {
      let settled = false;
      void promise.then(
        () => {
          settled = true;
        },
        () => {
          settled = true;
        },
      );
      await runSim(clock, { untilMs: clock.monotonicMs() + 60_000, until: () => settled });
      return await promise;
    },
    async powerCut(seed) {
      disk.crash(new Prng(seed));
    },
    async [Symbol.asyncDispose]() {},
  };
}

describeKvStore("SimStore", { powerCut: true }, async () => createSubject());

const put = (key: string) => ({ type: "put" as const, key: Buffer.from(key), value: Buffer.from("v") });

it("refuses every write after a failed fsync, and loses what was not synced", async () => {
  const subject = createSubject();
  const store = await subject.open();
  await subject.drive(store.write([put("a")], { sync: true }));
  subject.disk.faults.fsyncError = 1;
  const failed = store.write([put("b")], { sync: true }).catch((e: unknown) => e);
  // Not in the failed batch, but behind it.
  const behind = store.write([put("c")], { sync: false }).catch((e: unknown) => e);
  expect(await subject.drive(failed)).toMatchObject({ code: "ERR_STORE_WRITE", reason: "io", cause: { code: "EIO" } });
  expect(await subject.drive(behind)).toMatchObject({ reason: "refused" });
  subject.disk.faults.fsyncError = 0;
  await expect(store.write([put("d")], { sync: true })).rejects.toMatchObject({ reason: "refused" });
  await subject.powerCut?.(1);
  const again = await subject.open();
  expect(["a", "b", "c", "d"].filter((k) => again.get(Buffer.from(k)) !== undefined)).toEqual(["a"]);
});

it("names a full disk", async () => {
  const subject = createSubject();
  const store = await subject.open();
  subject.disk.faults.full = true;
  await expect(subject.drive(store.write([put("a")], { sync: false }))).rejects.toMatchObject({ reason: "no-space" });
});

it("shares one fsync among the writes that wait", async () => {
  const subject = createSubject();
  const store = await subject.open();
  const before = subject.clock.eventsRun;
  await subject.drive(Promise.all(Array.from({ length: 100 }, (_, i) => store.write([put(`k${i}`)], { sync: true }))));
  // One for the first, one for the 99 that came meanwhile.
  expect(subject.clock.eventsRun - before).toBe(2);
});

it("never settles the writes of a killed process", async () => {
  const subject = createSubject();
  const store = await subject.open();
  let settled = 0;
  for (const sync of [true, false, true]) {
    store.write([put("a")], { sync }).then(
      () => settled++,
      () => settled++,
    );
  }
  subject.disk.killProcess();
  await subject.clock.runAsync(1_000);
  expect(settled).toBe(0);
});
