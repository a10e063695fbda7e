import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { expect, it } from "vitest";
import { buildImage, ensureImage, whyNotBuild } from "../src/index.ts";

it("the README's example uses what the package exports", async () => {
  const readme = await readFile(resolve(import.meta.dirname, "../README.md"), "utf8");
  const names = /import \{ (.*) \} from "@keelson\/image-builder"/.exec(readme)?.[1]?.split(", ");
  expect(names).toEqual(["buildImage", "ensureImage", "whyNotBuild"]);
  expect([buildImage, ensureImage, whyNotBuild].map((f) => typeof f)).toEqual(["function", "function", "function"]);
  const problem = whyNotBuild();
  expect(problem === undefined || problem.length > 10).toBe(true);
});
