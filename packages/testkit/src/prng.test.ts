import { expect, it } from "vitest";
import { Prng } from "./prng.ts";

it("gives the same numbers for the same seed, for ever", () => {
  const rng = new Prng(1);
  const again = new Prng(1);
  const numbers = Array.from({ length: 100 }, () => rng.u32());
  expect(Array.from({ length: 100 }, () => again.u32())).toEqual(numbers);
  expect(new Set(numbers).size).toBe(100);
  expect(new Prng(2).u32()).not.toBe(numbers[0]);
});

it("draws evenly", () => {
  const rng = new Prng("even");
  const drawn = Array.from({ length: 7 }, () => 0);
  for (let i = 0; i < 70_000; i++) {
    const n = rng.below(7);
    drawn[n] = (drawn[n] ?? 0) + 1;
  }
  for (const n of drawn) expect(Math.abs(n - 10_000)).toBeLessThan(700);
  const ones = Array.from({ length: 10_000 }, () => rng.chance(0.25)).filter(Boolean).length;
  expect(Math.abs(ones - 2_500)).toBeLessThan(250);
});

it("keeps within its bounds, large ones too", () => {
  const rng = new Prng("bounds");
  for (let i = 0; i < 1_000; i++) {
    expect(rng.below(1)).toBe(0);
    expect(rng.below(2 ** 52)).toBeLessThan(2 ** 52);
    expect(rng.between(-3, 3)).toSatisfy((n: number) => n >= -3 && n <= 3);
    expect(rng.float()).toSatisfy((n: number) => n >= 0 && n < 1);
    expect(rng.u64()).toSatisfy((n: bigint) => n >= 0n && n < 2n ** 64n);
  }
  expect(() => rng.below(0)).toThrow(/invariant broken/);
});

it("forks by label, whatever was drawn before", () => {
  const rng = new Prng(7);
  const before = rng.fork("disk").u32();
  rng.u32();
  expect(rng.fork("disk").u32()).toBe(before);
  expect(rng.fork("network").u32()).not.toBe(before);
});

it("shuffles without losing anything", () => {
  const items = Array.from({ length: 50 }, (_, i) => i);
  const shuffled = new Prng(3).shuffle(items);
  expect(shuffled).not.toEqual(items);
  expect(shuffled.toSorted((a, b) => a - b)).toEqual(items);
  expect(items).toContain(new Prng(4).pick(items));
});
