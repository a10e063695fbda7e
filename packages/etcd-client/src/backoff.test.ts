import { expect, it } from "vitest";
import { Backoff } from "./backoff.ts";

const clock = {
  monotonicMs: () => 0,
  wallMs: () => 0,
  after: () => ({ [Symbol.dispose]() {} }),
  every: () => ({ [Symbol.dispose]() {} }),
};

it("doubles up to its limit with half of it at random, and starts anew after success", () => {
  const low = new Backoff({ clock, random: { below: () => 0, u64: () => 0n }, minMs: 100, maxMs: 400 });
  expect([1, 2, 3, 4].map(() => low.nextMs())).toEqual([50, 100, 200, 200]);
  low.reset();
  expect(low.nextMs()).toBe(50);
  const high = new Backoff({ clock, random: { below: (n) => n - 1, u64: () => 0n }, minMs: 100, maxMs: 400 });
  expect([1, 2, 3, 4].map(() => high.nextMs())).toEqual([99, 199, 399, 399]);
});
