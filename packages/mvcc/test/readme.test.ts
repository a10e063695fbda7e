import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { runReadmeExample } from "@keelson/testkit";
import { expect, it } from "vitest";

it("the README's example runs and prints what it promises", async () => {
  const { stdout } = await runReadmeExample(dirname(dirname(fileURLToPath(import.meta.url))));
  expect(stdout.trim().split("\n")).toEqual(["3 green", "before: blue", "put app/colour 2", "put app/colour 3"]);
});
