import { expect, it } from "vitest";
import { EMPTY_MEMORY, type Memory } from "./core/memory.ts";
import type { RebootLock, RolloutBoard, StateStore } from "./ports.ts";

const SIGNAL = new AbortController().signal;

/** Lets time pass until a promise has settled; real ones need no help. */
export type Run = <T>(work: Promise<T>) => Promise<T>;

/** What every {@link StateStore} does. `make` opens the same place again each time. */
export function stateStoreContract(make: () => Promise<{ open: () => StateStore; run: Run } & AsyncDisposable>): void {
  const memory: Memory = {
    ...EMPTY_MEMORY,
    denied: [{ version: "2", commit: "a".repeat(64), reason: "r", machine: "m", at: 1 }],
  };

  it("remembers nothing at first, then what was saved last", async () => {
    await using place = await make();
    const { open, run } = place;
    expect(await run(open().load())).toEqual({ memory: EMPTY_MEMORY });
    await run(open().save(memory));
    expect(await run(open().load())).toEqual({ memory });
    const store = open();
    await run(store.save(EMPTY_MEMORY));
    await run(store.save(memory));
    expect(await run(open().load())).toEqual({ memory });
  });
}

/** What every {@link RolloutBoard} does. Both boards are of one fleet. */
export function rolloutBoardContract(
  make: () => Promise<{ a: RolloutBoard; b: RolloutBoard; run: Run } & AsyncDisposable>,
): void {
  it("what one machine denies all see; the first reason stays", async () => {
    await using fleet = await make();
    const { a, b, run } = fleet;
    expect(await run(b.denials(SIGNAL))).toEqual([]);
    const denial = {
      version: "2.0.0",
      commit: "b".repeat(64),
      reason: "fleetd: no answer",
      machine: "a",
      at: 1_700_000_000,
    };
    await run(a.deny(denial));
    await run(a.deny(denial));
    await run(b.deny({ ...denial, reason: "another", machine: "b" }));
    const seen = await run(b.denials(SIGNAL));
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ version: "2.0.0", reason: "fleetd: no answer", machine: "a", at: 1_700_000_000 });
  });
}

/** What every {@link RebootLock} does, where there is one slot for machines a and b. `again` is a's next life. */
export function rebootLockContract(
  make: () => Promise<{ a: RebootLock; b: RebootLock; again: () => RebootLock; run: Run } & AsyncDisposable>,
): void {
  const take = (lock: RebootLock, signal = SIGNAL, onWait = (): void => {}) =>
    lock.acquire({ ignoreWindow: false, version: "2.0.0", signal, onWait });

  it("one at a time: the other waits, says so, and gets it when it is given back", async () => {
    await using fleet = await make();
    const { a, b, run } = fleet;
    await run(take(a));
    await run(a.confirm(SIGNAL));
    const waits = Promise.withResolvers<void>();
    const second = take(b, SIGNAL, () => waits.resolve());
    await run(waits.promise);
    await expect(run(b.confirm(SIGNAL))).rejects.toThrow();
    await run(a.release());
    await run(second);
    await run(b.confirm(SIGNAL));
    await expect(run(a.confirm(SIGNAL))).rejects.toThrow();
  });

  it("who has it may take it again, and give back what is not held", async () => {
    await using fleet = await make();
    const { a, b, run } = fleet;
    await run(a.release());
    await run(take(a));
    await run(take(a));
    await run(a.release());
    await run(a.release());
    await run(take(b));
  });

  it("it outlives its machine: the next life finds it, keeps it, and gives it back", async () => {
    await using fleet = await make();
    const { a, b, again, run } = fleet;
    await run(take(a));
    const next = again();
    expect(await run(next.resume(SIGNAL))).toBe(true);
    await run(next.release());
    await run(take(b));
    expect(await run(again().resume(SIGNAL))).toBe(false);
  });

  it("who stops waiting holds nothing", async () => {
    await using fleet = await make();
    const { a, b, run } = fleet;
    await run(take(a));
    const stop = new AbortController();
    const waits = Promise.withResolvers<void>();
    const second = take(b, stop.signal, () => waits.resolve());
    await run(waits.promise);
    stop.abort(new Error("stop"));
    await expect(run(second)).rejects.toThrow();
    await expect(run(b.confirm(SIGNAL))).rejects.toThrow();
    await run(a.release());
    await run(take(a));
  });
}
