import { resolve } from "node:path";
import { runReadmeExample } from "@keelson/testkit";
import { expect, it } from "vitest";

it("the README's example prints what it says", async () => {
  const { stdout } = await runReadmeExample(resolve(import.meta.dirname, ".."));
  expect(stdout.split("\n").map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
    "1 keelson-2",
    "2 keelson-2",
    "3 keelson-2",
    "4 keelson-1",
    "",
  ]);
});
