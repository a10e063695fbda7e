import { fileURLToPath } from "node:url";
import { runReadmeExample } from "@keelson/testkit";
import { expect, it } from "vitest";

it("the example of the README runs", async () => {
  const result = await runReadmeExample(fileURLToPath(new URL("..", import.meta.url)));
  expect(result.stdout).toBe("hello\n");
});
