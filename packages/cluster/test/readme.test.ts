import { join } from "node:path";
import { runReadmeExample } from "@keelson/testkit";
import { expect, it } from "vitest";

it("the README's example runs and prints what it promises", async () => {
  const { stdout } = await runReadmeExample(join(import.meta.dirname, ".."));
  expect(stdout.trim()).toBe("running 3");
});
