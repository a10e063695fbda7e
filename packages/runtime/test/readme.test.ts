import { join } from "node:path";
import { runReadmeExample } from "@keelson/testkit";
import { expect, it } from "vitest";

it("runs the example of the README", async () => {
  const { stdout } = await runReadmeExample(join(import.meta.dirname, ".."));
  expect(stdout).toBe("web /web --verbose\nrkt-0123456789abcdef0123456789abcdef-web.service\n");
});
