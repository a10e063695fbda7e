import { RebootCoordinator, Semaphore } from "@keelson/locksmith";
import { MemoryLockServer, MemoryLockStore } from "@keelson/locksmith/testing";
import { SystemClock } from "@keelson/log";
import { Prng, SimClock, tempDir } from "@keelson/testkit";
import { describe } from "vitest";
import { LocksmithLock, locksmithBoard } from "./adapters/locksmith.ts";
import { type Run, rebootLockContract, rolloutBoardContract, stateStoreContract } from "./contract.ts";
import type { Policy } from "./core/agent/model.ts";
import { addRelease, emptyStream } from "./core/release.ts";
import { FileStateStore } from "./edge/state-file.ts";
import { SimFleet } from "./testing/sim-fleet.ts";
import { SimMachine } from "./testing/sim-machine.ts";

const real: Run = (work) => work;
const nothing = { [Symbol.asyncDispose]: async () => {} };

function simulated() {
  const clock = new SimClock();
  const stream = addRelease(emptyStream("test"), { version: "1.0.0", commit: "1".repeat(64), timestamp: 1 });
  const fleet = new SimFleet(clock, { stream, lockTtlMs: 900_000, slots: 1 });
  const policy = { needsLock: true } as Policy;
  const machine = (name: string) => new SimMachine(fleet, { name, random: new Prng(name), policy, version: "1.0.0" });
  const run: Run = async (work) => {
    let isOver = false;
    const end = () => (isOver = true);
    work.then(end, end);
    for (let i = 0; i < 1_000 && !isOver; i++) await clock.runAsync(clock.monotonicMs() + 1_000);
    return await work;
  };
  return { a: machine("a"), b: machine("b"), run };
}

describe("the state file", () => {
  stateStoreContract(async () => {
    const dir = await tempDir("contract");
    const open = () => new FileStateStore(dir.join("state.json"));
    return { open, run: real, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
  });
});
describe("the simulated state", () => {
  stateStoreContract(async () => {
    const { a, run } = simulated();
    return { open: () => a.newLife().store, run, ...nothing };
  });
});

describe("locksmith's denials", () => {
  rolloutBoardContract(async () => {
    const store = new MemoryLockStore(new MemoryLockServer(new SystemClock()));
    const board = () => locksmithBoard(async () => store);
    return { a: board(), b: board(), run: real, ...nothing };
  });
});
describe("simulated denials", () => {
  rolloutBoardContract(async () => {
    const { a, b, run } = simulated();
    return { a: a.newLife().board, b: b.newLife().board, run, ...nothing };
  });
});

describe("locksmith's lock", () => {
  rebootLockContract(async () => {
    const store = new MemoryLockStore(new MemoryLockServer(new SystemClock()));
    const semaphore = new Semaphore({ store });
    const lock = (id: string) =>
      new LocksmithLock((onState) => new RebootCoordinator({ strategy: "etcd-lock", id, semaphore, onState }));
    return { a: lock("a"), b: lock("b"), again: () => lock("a"), run: real, ...nothing };
  });
});
describe("the simulated lock", () => {
  rebootLockContract(async () => {
    const { a, b, run } = simulated();
    return { a: a.newLife().lock, b: b.newLife().lock, again: () => a.newLife().lock, run, ...nothing };
  });
});
