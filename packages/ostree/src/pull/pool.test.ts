import fc from "fast-check";
import { expect, it } from "vitest";
import { WorkPool } from "./pool.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));

it("does all work once, also what is added while it runs, and never more at a time than allowed", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 60 }), async (parallel, total) => {
      const done: number[] = [];
      let running = 0;
      let most = 0;
      const pool: WorkPool<number> = new WorkPool(parallel, async (n) => {
        most = Math.max(most, ++running);
        await turn();
        // A binary tree, numbered from 1.
        for (const child of [2 * n, 2 * n + 1]) if (child <= total) pool.add(child);
        running--;
        done.push(n);
      });
      pool.add(1);
      await pool.run();
      expect(done.toSorted((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, i) => i + 1));
      expect(most).toBeLessThanOrEqual(parallel);
    }),
    { numRuns: 30 },
  );
});

it("ends at once without work", async () => {
  await new WorkPool(2, async () => {}).run();
});

it("stops at the first failure, cancels once, and ends only when nothing is in flight", async () => {
  const started: number[] = [];
  let inFlight = 0;
  const failures: unknown[] = [];
  const pool: WorkPool<number> = new WorkPool(
    2,
    async (n) => {
      started.push(n);
      inFlight++;
      await turn();
      inFlight--;
      pool.add(n + 100);
      if (n < 10) throw new Error(`failed ${n}`);
    },
    (error) => failures.push(error),
  );
  for (let n = 0; n < 10; n++) pool.add(n);
  await expect(pool.run()).rejects.toThrow("failed 9");
  expect(inFlight).toBe(0);
  expect(started).toHaveLength(2);
  expect(failures).toHaveLength(1);
});
