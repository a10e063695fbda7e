import fc from "fast-check";
import { expect, it } from "vitest";
import { DeadlineQueue } from "./deadline-queue.ts";
import { effectiveTtlS, Lessor } from "./lessor.ts";

const lease = (id: bigint, ttlS: number, remainingS = 0) => ({ id, ttlS, remainingS });
const key = (text: string) => [new TextEncoder().encode(text), text] as const;

it.each([
  [1, 1000, 2],
  [2, 1000, 2],
  [60, 1000, 60],
  [1, 500, 1],
  [3, 10_000, 15],
])("a TTL of %i s with elections of %i ms is %i s", (ttl, electionMs, want) => {
  expect(effectiveTtlS(ttl, electionMs)).toBe(want);
});

it("expires on the primary alone, in the order of the deadlines, once", () => {
  const lessor = new Lessor();
  lessor.grant(lease(1n, 10), 0);
  expect(lessor.takeExpired(1e9, 10)).toEqual([]);
  lessor.promote(0, 1_000);
  lessor.grant(lease(2n, 5), 0);
  expect(lessor.takeExpired(4_999, 10)).toEqual([]);
  expect(lessor.takeExpired(5_000, 10)).toEqual([2n]);
  expect(lessor.takeExpired(5_000, 10)).toEqual([]); // it is on its way through the log
  expect(lessor.takeExpired(10_999, 10)).toEqual([]); // the extension after an election
  expect(lessor.takeExpired(11_000, 10)).toEqual([1n]);
});

it("a renewal moves the deadline; one whose revocation is proposed cannot be renewed", () => {
  const lessor = new Lessor();
  lessor.promote(0, 0);
  lessor.grant(lease(1n, 10), 0);
  expect(lessor.renew(1n, 9_000)).toEqual({ ttlS: 10, clearCheckpoint: false });
  expect(lessor.takeExpired(18_999, 10)).toEqual([]);
  expect(lessor.remainingS(1n, 9_500)).toBe(9);
  expect(lessor.takeExpired(19_000, 10)).toEqual([1n]);
  expect(lessor.renew(1n, 19_001)).toBe("not-found");
  lessor.retry(1n, 19_001);
  expect(lessor.renew(1n, 19_002)).toEqual({ ttlS: 10, clearCheckpoint: false });
});

it("a member that does not lead renews nothing and knows no remaining time", () => {
  const lessor = new Lessor();
  lessor.grant(lease(1n, 10), 0);
  expect(lessor.renew(1n, 0)).toBe("not-primary");
  expect(lessor.remainingS(1n, 0)).toBeUndefined();
  lessor.promote(0, 0);
  lessor.demote();
  expect(lessor.renew(1n, 0)).toBe("not-primary");
  expect(lessor.takeExpired(1e9, 10)).toEqual([]);
});

it("what was left survives a change of the leader by a checkpoint, and a renewal asks to clear it", () => {
  const old = new Lessor();
  old.promote(0, 0);
  old.grant(lease(1n, 1_000), 0);
  old.grant(lease(2n, 30), 0); // too short to be worth it
  expect(old.takeCheckpoints(99_000, 10)).toEqual([]);
  expect(old.takeCheckpoints(400_000, 10)).toEqual([{ id: 1n, ttlS: 1_000, remainingS: 600 }]);
  const next = new Lessor();
  next.grant(lease(1n, 1_000), 0);
  next.checkpoint(1n, 600, 0);
  next.promote(0, 0);
  expect(next.remainingS(1n, 0)).toBe(600);
  expect(next.renew(1n, 0)).toEqual({ ttlS: 1_000, clearCheckpoint: true });
  next.checkpoint(1n, 0, 0);
  expect(next.renew(1n, 0)).toEqual({ ttlS: 1_000, clearCheckpoint: false });
});

it("a lease that is kept alive writes no checkpoints", () => {
  const lessor = new Lessor();
  lessor.promote(0, 0);
  lessor.grant(lease(1n, 1_000), 0);
  for (let now = 0; now < 10_000_000; now += 10_000) {
    lessor.renew(1n, now);
    expect(lessor.takeCheckpoints(now, 10)).toEqual([]);
  }
});

it("gives back the attached keys in byte order", () => {
  const lessor = new Lessor();
  lessor.grant(lease(1n, 10), 0);
  for (const k of ["b", "a", "c", "aa"]) lessor.attach(...key(k), 1n);
  lessor.detach("c", 1n);
  expect(lessor.revoke(1n)?.map((k) => new TextDecoder().decode(k))).toEqual(["a", "aa", "b"]);
  expect(lessor.revoke(1n)).toBeUndefined();
  expect(lessor.grant(lease(1n, 10), 0)).toBe(true);
  expect(lessor.grant(lease(1n, 10), 0)).toBe(false);
});

it("the queue gives out everything that is due, earliest first", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1000)), fc.nat(1000), (times, now) => {
      const queue = new DeadlineQueue();
      times.forEach((at, i) => queue.push(at, BigInt(i)));
      const out: number[] = [];
      for (let item = queue.popDue(now); item !== undefined; item = queue.popDue(now)) out.push(item.atMs);
      expect(out).toEqual(times.filter((at) => at <= now).toSorted((a, b) => a - b));
      expect(queue.size).toBe(times.length - out.length);
    }),
  );
});
