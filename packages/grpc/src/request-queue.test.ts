import { expect, it } from "vitest";
import { RequestQueue } from "./request-queue.ts";

it("pauses the sender at the limit, resumes below it, keeps order and gives the error last", async () => {
  const flow: boolean[] = [];
  const queue = new RequestQueue<number>(2, (paused) => flow.push(paused));
  const first = queue.next();
  queue.push(1);
  queue.push(2);
  queue.push(3);
  queue.end(new Error("cut"));
  queue.push(4);
  expect(await first).toEqual({ value: 1, done: false });
  expect(await queue.next()).toEqual({ value: 2, done: false });
  expect(await queue.next()).toEqual({ value: 3, done: false });
  await expect(queue.next()).rejects.toThrow("cut");
  expect(flow).toEqual([true, false]);
});

it("ends a waiting reader", async () => {
  const queue = new RequestQueue<number>(2, () => undefined);
  const waiting = queue.next();
  queue.end();
  expect((await waiting).done).toBe(true);
  expect((await queue.next()).done).toBe(true);
});
