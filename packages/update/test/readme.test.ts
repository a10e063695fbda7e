import { join } from "node:path";
import { runReadmeExample } from "@keelson/testkit";
import { expect, it } from "vitest";

it("the README's example prints what it says", async () => {
  const { stdout } = await runReadmeExample(join(import.meta.dirname, ".."));
  expect(stdout).toBe("2.0.0 1\n");
});
