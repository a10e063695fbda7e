import { tmpdir } from "node:os";
import { expect, it } from "vitest";
import { checkSpace, readSpace, reservedBytes, SpaceBudget } from "./space.ts";

const space = { totalBytes: 1_000_000, freeBytes: 500_000, blockBytes: 4_096, freeFiles: 10, filesTotal: 100 };

it.each([
  ["nothing", {}, 0],
  ["percent", { percent: 3 }, 30_000],
  ["bytes", { bytes: 40_000 }, 40_000],
  ["the larger of the two", { percent: 5, bytes: 40_000 }, 50_000],
])("reserves %s", (_title, minFree, want) => {
  expect(reservedBytes(space, minFree)).toBe(want);
});

it("refuses what would not fit, saying what is needed and what to do", async () => {
  const { freeBytes, totalBytes } = await readSpace(tmpdir());
  await checkSpace(tmpdir(), 1, { bytes: 0 });
  await expect(checkSpace(tmpdir(), freeBytes + 2 ** 30, {})).rejects.toMatchObject({
    code: "ERR_OSTREE_SPACE",
    message: expect.stringMatching(/are needed, \d+ MiB of \d+ MiB are free; free \d+ MiB \(old deployments/),
  });
  await expect(checkSpace(tmpdir(), 0, { bytes: totalBytes })).rejects.toThrow(
    /0 B are needed and \d+ MiB must stay free/,
  );
});

it("grants no room twice to writers that have not written yet", async () => {
  const { freeBytes } = await readSpace(tmpdir());
  const third = Math.floor(freeBytes / 3) + 2 ** 20;
  const budget = new SpaceBudget(tmpdir(), {});
  const taken = await Promise.allSettled([budget.take(third), budget.take(third), budget.take(third)]);
  expect(taken.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
  for (const one of taken) if (one.status === "fulfilled") one.value[Symbol.dispose]();
  using _again = await budget.take(third);
});
