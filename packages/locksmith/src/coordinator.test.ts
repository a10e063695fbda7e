import { beforeEach, describe, expect, it } from "vitest";
import { type CoordinatorState, RebootCoordinator, type RebootCoordinatorOptions } from "./coordinator.ts";
import { UTC } from "./core/civil.ts";
import type { MemberHealth } from "./core/quorum.ts";
import { parseRebootWindow } from "./core/window.ts";
import { deniedVersions } from "./rollout.ts";
import type { LockStore } from "./store/port.ts";
import { StoreUnavailableError } from "./store/port.ts";
import { World } from "./testing/world.ts";

const HOUR = 3_600_000;
let world: World; // its wall clock begins at 2026-01-01T00:00:00Z
let states: string[];
beforeEach(() => {
  world = new World();
  states = [];
});

function coordinator(options: Partial<RebootCoordinatorOptions> = {}): RebootCoordinator {
  const { clock, random } = world;
  const onState = ({ phase, reason, isHolding }: CoordinatorState) =>
    void states.push(`${phase}${isHolding ? "+" : ""}${reason === "" ? "" : `: ${reason}`}`);
  return new RebootCoordinator({
    strategy: "etcd-lock",
    id: "m1",
    semaphore: world.semaphore(),
    clock,
    random,
    onState,
    ...options,
  });
}

const never = () => new AbortController().signal;
const holders = async () => (await world.semaphore().status()).holders.map(({ id }) => id);
const member = (id: string, isHealthy = true): MemberHealth => ({ id, name: id, isHealthy, isVoter: true });

/** Etcd answers only while this is true. */
function flaky(isUp: () => boolean): LockStore {
  return new Proxy(world.store, {
    get:
      (target, name) =>
      (...args: unknown[]) => {
        if (!isUp())
          return name === "changed" ? Promise.resolve() : Promise.reject(new StoreUnavailableError("down", false));
        const method = target[name as keyof LockStore] as (...args: unknown[]) => unknown;
        return method.apply(target, args);
      },
  });
}

describe("strategies", () => {
  it("off refuses, and gives back what it held before all the same", async () => {
    await coordinator().acquire(never());
    const off = coordinator({ strategy: "off" });
    await expect(off.acquire(never())).rejects.toMatchObject({ code: "ERR_STRATEGY_OFF" });
    expect(await holders()).toEqual(["m1"]);
    await off.release();
    expect(await holders()).toEqual([]);
  });

  it("reboot takes no lock", async () => {
    const permit = await coordinator({ strategy: "reboot" }).acquire(never());
    expect(permit.hold).toBeUndefined();
    await permit.confirm();
    expect(await holders()).toEqual([]);
  });

  it("etcd-lock holds through the reboot, and says what for", async () => {
    const before = coordinator({ machine: "alpha" });
    const permit = await before.acquire(never(), { version: "2" });
    expect(permit.hold?.isHeld).toBe(true);
    await permit.confirm();
    const { holders: held } = await world.semaphore().status();
    expect(held).toMatchObject([{ id: "m1", record: { machine: "alpha", version: "2", isGoingDown: true } }]);
    // The machine reboots.
    permit.hold?.letGo();
    await world.clock.runAsync(600_000);
    const after = coordinator({ machine: "alpha" });
    expect((await after.resume())?.isHeld).toBe(true);
    await world.clock.runAsync(world.clock.monotonicMs() + 2 * HOUR); // the health gate
    expect(after.state.isHolding).toBe(true);
    await after.release();
    expect(await holders()).toEqual([]);
    expect(await deniedVersions(world.store)).toEqual(new Map());
    await after.release(); // does no harm
  });

  it("etcd-lock waits for etcd as long as it takes; best-effort for a minute", async () => {
    let isUp = false;
    const semaphore = world.semaphore({ store: flaky(() => isUp) });
    const patient = coordinator({ semaphore });
    let got = false;
    const waiting = patient.acquire(never()).then((permit) => {
      got = true;
      return permit;
    });
    await world.clock.runAsync(HOUR);
    expect(got).toBe(false);
    expect(patient.state.reason).toBe("etcd does not answer");
    const permit = await world.until(coordinator({ id: "m2", semaphore, strategy: "best-effort" }).acquire(never()));
    expect(permit.hold).toBeUndefined();
    expect(world.clock.monotonicMs() - HOUR).toBeGreaterThanOrEqual(60_000);
    expect(world.clock.monotonicMs() - HOUR).toBeLessThan(120_000);
    isUp = true;
    expect((await world.until(waiting)).hold?.isHeld).toBe(true);
    const other = await world
      .semaphore()
      .lock("m3")
      .catch((error: unknown) => String(error));
    expect(other).toContain("semaphore is at 0");
  });

  it("a strategy with a lock needs a semaphore", () => {
    expect(() => new RebootCoordinator({ strategy: "etcd-lock", id: "m1" })).toThrow(/needs a semaphore/);
  });
});

describe("windows", () => {
  const window = parseRebootWindow("02:00", "1h", UTC);

  it("waits for the window, and holds no lock meanwhile", async () => {
    const waiting = coordinator({ window }).acquire(never());
    await world.clock.runAsync(HOUR);
    expect(await holders()).toEqual([]);
    await world.until(waiting);
    expect(world.clock.monotonicMs()).toBeGreaterThanOrEqual(2 * HOUR);
    expect(world.clock.monotonicMs()).toBeLessThan(2 * HOUR + 60_000);
    expect(states).toEqual([
      "waiting-for-window: waiting for the reboot window",
      "waiting-for-lock",
      "checking+",
      "ready+",
    ]);
  });

  it("looks again when the lock came late: a closed window means the next one, and nobody waits in the queue meanwhile", async () => {
    await world.semaphore().lock("m0", { kind: "manual" });
    await world.clock.runAsync(2 * HOUR);
    const waiting = coordinator({ window }).acquire(never());
    await world.clock.runAsync(3 * HOUR + 10_000);
    expect((await world.semaphore().status()).waiters).toEqual([]);
    await world.semaphore().unlock("m0");
    await world.clock.runAsync(5 * HOUR);
    expect(await holders()).toEqual([]);
    await world.until(waiting, 30 * HOUR);
    expect(Math.floor(world.clock.monotonicMs() / HOUR)).toBe(26);
  });

  it("sees that the wall clock was set", async () => {
    const clock = world.clock.view();
    const waiting = coordinator({ window, clock, semaphore: world.semaphore({ clock }) }).acquire(never());
    await world.clock.runAsync(60_000);
    clock.jumpWall(2 * HOUR);
    await world.until(waiting);
    expect(world.clock.monotonicMs()).toBeLessThanOrEqual(180_000);
  });

  it("every machine begins at its own time", async () => {
    const times = await Promise.all(
      ["m1", "m2", "m3"].map(async (id) => {
        await world.until(
          coordinator({ strategy: "reboot", id, window, jitterSpanMs: HOUR / 2 }).acquire(never()),
          30 * HOUR,
        );
        return world.clock.wallMs();
      }),
    );
    expect(new Set(times).size).toBe(3);
  });
});

describe("quorum", () => {
  it("waits until etcd can spare it, and does not keep the lock from others", async () => {
    let isWell = false;
    const quorum = { look: async () => ({ members: [member("a"), member("b", isWell), member("c")], self: "a" }) };
    const waiting = coordinator({ quorum }).acquire(never());
    await world.clock.runAsync(120_000);
    expect(states.at(-1)).toMatch(/etcd would lose its majority: .* \(b is not healthy\)/);
    expect(await holders()).toEqual([]);
    expect((await world.semaphore().status()).waiters).toEqual([]);
    isWell = true;
    await world.until(waiting);
    expect(world.keys().find((key) => key.startsWith("leaving="))).toBe('leaving={"a":{"holder":"m1","group":""}}');
  });

  it("members of two groups do not go together", async () => {
    const look = (self: string) => ({ look: async () => ({ members: ["a", "b", "c"].map((id) => member(id)), self }) });
    await coordinator({ quorum: look("a") }).acquire(never());
    const other = world.semaphore({ group: "other" });
    await expect(other.lock("m2", { quorum: look("b") })).rejects.toMatchObject({
      code: "ERR_QUORUM",
      message: "etcd would lose its majority: of 3 members 1 would be sure to stay, 2 must (a holds a slot)",
    });
    await world.semaphore().unlock("m1");
    await other.lock("m2", { quorum: look("b") });
  });

  it("the last look is right before the machine goes down", async () => {
    let isWell = true;
    const quorum = { look: async () => ({ members: [member("a"), member("b", isWell), member("c")], self: "a" }) };
    const permit = await coordinator({ quorum }).acquire(never());
    await permit.confirm();
    isWell = false;
    await expect(permit.confirm()).rejects.toMatchObject({ code: "ERR_QUORUM" });
  });

  it("reboot and best-effort without etcd: nobody to ask, nothing to lose", async () => {
    const quorum = { look: () => Promise.reject(new StoreUnavailableError("down", false)) };
    await coordinator({ strategy: "reboot", quorum }).acquire(never());
  });
});

describe("ends", () => {
  it("an abort gives the lock back", async () => {
    const stop = new AbortController();
    const quorum = { look: async () => ({ members: [member("a"), member("b", false), member("c")], self: "a" }) };
    const waiting = coordinator({ quorum }).acquire(stop.signal, { version: "2" });
    waiting.catch(() => {});
    await world.clock.runAsync(60_000);
    stop.abort(new Error("called off"));
    await expect(world.until(waiting)).rejects.toThrow("called off");
    expect(await holders()).toEqual([]);
  });

  it("a hold that somebody took away is seen before the machine goes down", async () => {
    const permit = await coordinator().acquire(never());
    await world.semaphore().unlock("m1");
    await expect(permit.confirm()).rejects.toMatchObject({ code: "ERR_HOLD_LOST" });
  });

  it("a machine that never comes back: its slot is given on, and its version denied to all", async () => {
    const dead = world.machine();
    await coordinator({ semaphore: dead.semaphore, machine: "alpha" }).acquire(never(), { version: "2" });
    dead.die();
    await world.until(coordinator({ id: "m2", machine: "beta" }).acquire(never(), { version: "2" }));
    const denial = (await deniedVersions(world.store)).get("2");
    expect(denial).toMatchObject({ by: "beta", reason: "alpha took the lock for it and did not come back" });
  });
});
