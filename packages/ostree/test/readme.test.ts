import { join } from "node:path";
import { runReadmeExample } from "@keelson/testkit";
import { expect, it } from "vitest";

it("the README's example does what it says", async () => {
  const { stdout, stderr } = await runReadmeExample(join(import.meta.dirname, ".."));
  expect(stdout).toMatch(/ok: true[\s\S]*\{ files: 1, dirs: 3, linked: 0 \}\ntrue\n$/);
  // node:ffi is experimental; its warning must not stand in every command's output.
  expect(stderr).toBe("");
});
