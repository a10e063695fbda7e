import { expect, it } from "vitest";
import { READ_RETRY_MS, ReadRounds } from "./read-rounds.ts";

function setup() {
  const rounds = new ReadRounds(100);
  const log: string[] = [];
  const add = (name: string, deadlineMs = 1e9) =>
    rounds.add({
      deadlineMs,
      ready: () => void log.push(`${name} ready`),
      failed: (why) => void log.push(`${name} ${why}`),
    });
  return { rounds, log, add };
}

it("shares a round between reads that wait, and starts the next only when it is answered", () => {
  const { rounds, log, add } = setup();
  add("a");
  add("b");
  expect(rounds.next(0)).toBe(101);
  add("c"); // came after the round was asked: it may have to see more
  expect(rounds.next(1)).toBeUndefined();
  rounds.confirmed(101, 5, 5);
  expect(log).toEqual(["a ready", "b ready"]);
  expect(rounds.next(2)).toBe(102);
});

it("waits until the index is applied", () => {
  const { rounds, log, add } = setup();
  add("a");
  rounds.next(0);
  rounds.confirmed(101, 7, 5);
  rounds.applied(6);
  expect(log).toEqual([]);
  rounds.applied(7);
  expect(log).toEqual(["a ready"]);
});

it("asks again after a while, and ignores answers to other rounds", () => {
  const { rounds, log, add } = setup();
  add("a");
  rounds.next(0);
  expect(rounds.next(READ_RETRY_MS - 1)).toBeUndefined();
  expect(rounds.next(READ_RETRY_MS)).toBe(101);
  rounds.confirmed(100, 5, 5);
  expect(log).toEqual([]);
});

it("takes a new round when the leader changes, and an answer to the old one counts no more", () => {
  const { rounds, log, add } = setup();
  add("a");
  rounds.next(0);
  add("b");
  rounds.leaderChanged();
  expect(rounds.next(1)).toBe(102);
  rounds.confirmed(101, 5, 5);
  expect(log).toEqual([]);
  rounds.confirmed(102, 6, 6);
  expect(log).toEqual(["a ready", "b ready"]);
});

it("gives up on reads that waited too long, wherever they are", () => {
  const { rounds, log, add } = setup();
  add("applying", 10);
  rounds.next(0);
  rounds.confirmed(101, 9, 5);
  add("asking", 10);
  rounds.next(1);
  add("waiting", 10);
  add("patient", 99);
  rounds.expire(10);
  expect(log).toEqual(["waiting timeout", "asking timeout", "applying timeout-applying"]);
  expect(rounds.pending).toBe(1);
  expect(rounds.clear()).toHaveLength(1);
});
