import { beforeEach, describe, expect, it } from "vitest";
import type { Condition, Write } from "./core/txn.ts";
import type { Semaphore } from "./semaphore.ts";
import { StoreUnavailableError } from "./store/port.ts";
import { World } from "./testing/world.ts";

let world: World;
let semaphore: Semaphore;
beforeEach(() => {
  world = new World();
  semaphore = world.semaphore();
});

const UPSTREAM_HELD = '{"semaphore":0,"max":1,"holders":["theirs"]}';
const KEY = "coreos.com/updateengine/rebootlock/semaphore";
const put = (key: string, value: string): Write => ({ type: "put", key, value });

describe("lock and unlock", () => {
  it("writes upstream's JSON, and beside it who holds and until when", async () => {
    const hold = await semaphore.lock("m1", { machine: "alpha", version: "2", reason: "update" });
    expect(hold.isHeld).toBe(true);
    const since = world.clock.wallMs();
    expect(world.keys()).toEqual([
      "holds/m1=",
      `records/m1={"id":"m1","sinceMs":${since},"machine":"alpha","version":"2","reason":"update","lease":"1"}`,
      'semaphore={"semaphore":0,"max":1,"holders":["m1"]}',
    ]);
    expect(await hold.release()).toBe("released");
    expect(world.keys()).toEqual(['semaphore={"semaphore":1,"max":1,"holders":null}']);
    expect(hold.isHeld).toBe(false);
    expect(await hold.release()).toBe("not-held");
  });

  it("refuses in upstream's words", async () => {
    await semaphore.lock("m1");
    await expect(semaphore.lock("m2")).rejects.toThrow(/^semaphore is at 0$/);
    await expect(semaphore.unlock("m2")).rejects.toThrow(/^holder does not exist$/);
    await semaphore.setMax(0);
    await expect(semaphore.lock("m2")).rejects.toThrow(/^semaphore is at -1$/);
    await expect(semaphore.lock("")).rejects.toMatchObject({ code: "ERR_INVALID_HOLDER" });
  });

  it("a holder may lock again, also when all slots are taken, and keeps its age", async () => {
    await semaphore.lock("m1", { version: "1" });
    const sinceMs = world.clock.wallMs();
    await world.clock.runAsync(5_000);
    const again = await semaphore.lock("m1", { version: "2" });
    expect(again.record).toMatchObject({ sinceMs, version: "2" });
    const { available, holders } = await semaphore.status();
    expect(available).toBe(0);
    expect(holders).toMatchObject([{ id: "m1", kind: "alive", record: { sinceMs, version: "2" } }]);
  });

  it("what upstream holds is held by hand: it never ends by itself, and can be unlocked", async () => {
    await world.store.commit([], [put(KEY, UPSTREAM_HELD)]);
    await world.clock.runAsync(24 * 3_600_000);
    expect((await semaphore.status()).holders).toEqual([{ id: "theirs", kind: "manual", record: undefined }]);
    expect(await semaphore.reap("m1")).toEqual([]);
    await expect(semaphore.lock("m1")).rejects.toThrow("semaphore is at 0");
    await semaphore.unlock("theirs");
    expect(world.keys()).toEqual(['semaphore={"semaphore":1,"max":1,"holders":null}']);
  });

  it("a hold by hand has no lease", async () => {
    const hold = await semaphore.lock("m1", { kind: "manual", machine: "alpha" });
    await world.clock.runAsync(24 * 3_600_000);
    expect(hold.isHeld).toBe(true);
    expect(await hold.confirm()).toBe(true);
    expect((await semaphore.status()).holders).toMatchObject([{ kind: "manual", record: { machine: "alpha" } }]);
    await semaphore.unlock("m1");
    expect(await hold.confirm()).toBe(false);
  });

  it("groups have nothing to do with each other, and airlock's JSON stays airlock's", async () => {
    await semaphore.lock("m1");
    const other = world.semaphore({ group: "a b/ö" });
    const key = "coreos.com/updateengine/rebootlock/groups/a+b%2F%C3%B6/semaphore";
    await world.store.commit([], [put(key, '{"total_slots":2,"holders":["x"]}')]);
    await other.lock("m1");
    const entry = (await world.store.read([{ key }])).entries[0];
    expect(entry?.value).toBe('{"total_slots":2,"holders":["m1","x"]}');
  });

  it("a semaphore that cannot be read is left alone", async () => {
    await world.store.commit([], [put(KEY, '{"max":"two"}')]);
    const before = world.keys();
    for (const attempt of [semaphore.lock("m1"), semaphore.unlock("m1"), semaphore.setMax(3), semaphore.status()]) {
      await expect(attempt).rejects.toMatchObject({ code: "ERR_SEMAPHORE_FORMAT" });
    }
    expect(world.keys()).toEqual(before);
  });

  it("set-max says what it was, and does not touch holders", async () => {
    expect(await semaphore.setMax(3)).toEqual({ oldMax: 1, max: 3 });
    for (const id of ["b", "a", "c"]) await semaphore.lock(id);
    expect(await semaphore.setMax(1)).toEqual({ oldMax: 3, max: 1 });
    expect(world.keys().at(-1)).toBe('semaphore={"semaphore":-2,"max":1,"holders":["a","b","c"]}');
    await expect(semaphore.setMax(-1)).rejects.toMatchObject({ code: "ERR_INVALID_MAX" });
    await expect(semaphore.setMax(1.5)).rejects.toMatchObject({ code: "ERR_INVALID_MAX" });
  });
});

describe("the queue", () => {
  it("is first come, first served, and a newcomer does not get ahead", async () => {
    await semaphore.lock("m0");
    const got: string[] = [];
    for (const id of ["m3", "m1", "m2"]) {
      void world
        .semaphore()
        .lock(id, { wait: true })
        .then(() => got.push(id));
      await world.clock.settle();
    }
    expect((await semaphore.status()).waiters.map(({ id }) => id)).toEqual(["m3", "m1", "m2"]);
    await semaphore.unlock("m0");
    await expect(semaphore.lock("m4")).rejects.toThrow("semaphore is at");
    for (const id of ["m3", "m1", "m2"]) {
      await world.clock.settle();
      expect(got.at(-1)).toBe(id);
      await semaphore.unlock(id);
    }
    expect(world.keys()).toEqual(['semaphore={"semaphore":1,"max":1,"holders":null}']);
  });

  it("one that gives up leaves it; one that dies is gone after its lease", async () => {
    await semaphore.lock("m0");
    const stop = new AbortController();
    const gone = world.semaphore().lock("m1", { wait: true, signal: stop.signal });
    gone.catch(() => {});
    await world.clock.settle();
    expect(world.keys().some((key) => key.startsWith("queue/m1="))).toBe(true);
    stop.abort(new Error("enough"));
    await expect(gone).rejects.toThrow("enough");
    await world.clock.settle();
    expect(world.keys().some((key) => key.startsWith("queue/"))).toBe(false);
    const dead = world.machine();
    void dead.semaphore.lock("m2", { wait: true });
    await world.clock.settle();
    dead.die();
    await world.clock.runAsync(world.clock.monotonicMs() + 31_000);
    expect(world.keys().some((key) => key.startsWith("queue/"))).toBe(false);
  });

  it("several free slots go to as many from its head", async () => {
    await semaphore.setMax(2);
    await semaphore.lock("m0");
    await semaphore.lock("m00");
    const got: string[] = [];
    for (const id of ["m1", "m2", "m3"]) {
      void world
        .semaphore()
        .lock(id, { wait: true })
        .then(() => got.push(id));
      await world.clock.settle();
    }
    await semaphore.setMax(4);
    await world.clock.runAsync(5_000);
    expect(got.toSorted()).toEqual(["m1", "m2"]);
  });
});

describe("dead holders", () => {
  it("a waiter gets the slot of a dead one after its lease, and the version is denied", async () => {
    const dead = world.machine();
    const hold = await dead.semaphore.lock("m1", { machine: "alpha", version: "2.0" });
    expect(await hold.announce()).toBe(true);
    dead.die();
    const startMs = world.clock.monotonicMs();
    await world.until(semaphore.lock("m2", { machine: "beta", wait: true }));
    expect(world.clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(900_000);
    expect(world.clock.monotonicMs() - startMs).toBeLessThan(901_000);
    expect(hold.isHeld).toBe(false);
    const denial = (await world.store.read([{ prefix: "coreos.com/updateengine/rollout/denied/" }])).entries[0];
    expect(denial?.key).toMatch(/\/2\.0$/);
    expect(JSON.parse(denial?.value ?? "")).toEqual({
      version: "2.0",
      reason: "alpha took the lock for it and did not come back",
      by: "beta",
      atMs: world.clock.wallMs(),
    });
  });

  it("one that dies before it was to go down, or that gave up while its answer was lost, denies nothing", async () => {
    const dead = world.machine();
    await dead.semaphore.lock("m1", { version: "2.0" });
    dead.die();
    await world.until(semaphore.lock("m2", { wait: true }));
    expect(world.keys().filter((key) => key.includes("denied"))).toEqual([]);
  });

  it("a machine that comes back in time finds its hold, and keeps it", async () => {
    const first = world.machine();
    await first.semaphore.lock("m1", { version: "2" });
    first.die();
    await world.clock.runAsync(800_000);
    const hold = await semaphore.resume("m1");
    expect(hold?.record).toMatchObject({ id: "m1", version: "2" });
    await world.clock.runAsync(7_200_000);
    expect(hold?.isHeld).toBe(true);
    expect(await hold?.confirm()).toBe(true);
    expect(await semaphore.resume("m2")).toBeUndefined();
  });

  it("one that comes back late finds it when nobody has taken it, else nothing", async () => {
    const first = world.machine();
    await first.semaphore.lock("m1");
    first.die();
    await world.clock.runAsync(1_000_000);
    expect((await semaphore.status()).holders).toMatchObject([{ id: "m1", kind: "stale" }]);
    const hold = await semaphore.resume("m1");
    expect(hold?.isHeld).toBe(true);
    hold?.letGo();
    await world.clock.runAsync(3_000_000);
    expect((await semaphore.reap("me")).map(({ id }) => id)).toEqual(["m1"]);
    expect(await semaphore.resume("m1")).toBeUndefined();
  });

  it("an unlock of its last life that is still on its way does not end the hold of the next", async () => {
    const late: (() => Promise<unknown>)[] = [];
    const store = new Proxy(world.store, {
      get:
        (target, name) =>
        (...args: unknown[]) => {
          const call = () =>
            (target[name as keyof typeof target] as (...all: unknown[]) => Promise<unknown>).apply(target, args);
          const isUnlock =
            name === "commit" &&
            JSON.stringify(args[1], (_, v: unknown) => (typeof v === "bigint" ? String(v) : v)).includes("delete");
          if (!isUnlock) return call();
          late.push(call);
          return new Promise(() => {}); // the machine dies before there is an answer
        },
    });
    const hold = await world.semaphore({ store }).lock("m1");
    void hold.release();
    await world.clock.settle();
    expect(late).toHaveLength(1);
    const next = await semaphore.resume("m1");
    expect(await late[0]?.()).toMatchObject({ isCommitted: false });
    expect(await next?.confirm()).toBe(true);
    expect((await semaphore.status()).holders).toMatchObject([{ id: "m1", kind: "alive" }]);
  });

  it("unlocking a living holder by hand is seen by its next confirm", async () => {
    const hold = await semaphore.lock("m1");
    await world.semaphore().unlock("m1");
    await world.semaphore().lock("m2");
    expect(await hold.confirm()).toBe(false);
    expect(hold.isHeld).toBe(false);
    expect(await hold.release()).toBe("not-held");
    expect((await semaphore.status()).holders.map(({ id }) => id)).toEqual(["m2"]);
  });
});

describe("answers that are lost", () => {
  it.each([
    ["and the write was applied", true],
    ["and the write was not", false],
  ])("%s: lock, release, unlock and set-max find out", async (_title, isApplied) => {
    let losses = 0;
    const { store } = world;
    const lossy = {
      read: store.read.bind(store),
      changed: store.changed.bind(store),
      grant: store.grant.bind(store),
      keepAlive: store.keepAlive.bind(store),
      revoke: store.revoke.bind(store),
      async commit(conditions: readonly Condition[], writes: readonly Write[]) {
        if (losses === 0) return await store.commit(conditions, writes);
        losses--;
        if (isApplied) await store.commit(conditions, writes);
        throw new StoreUnavailableError("no answer", true);
      },
    };
    const victim = world.semaphore({ store: lossy });
    losses = 1;
    const hold = await world.until(victim.lock("m1"));
    expect((await semaphore.status()).holders).toHaveLength(1);
    losses = 1;
    expect(await world.until(hold.release())).toBe("released");
    await victim.lock("m2");
    losses = 1;
    await world.until(victim.unlock("m2"));
    losses = 1;
    expect(await world.until(victim.setMax(5))).toEqual({ oldMax: 1, max: 5 });
    expect(world.keys()).toEqual(['semaphore={"semaphore":5,"max":5,"holders":null}']);
  });
});
