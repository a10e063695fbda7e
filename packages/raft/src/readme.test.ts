import { fileURLToPath } from "node:url";
import { runReadmeExample } from "@keelson/testkit";
import { expect, it } from "vitest";

it("the example of the README runs and prints what it says", async () => {
  const { stdout } = await runReadmeExample(fileURLToPath(new URL("..", import.meta.url)));
  expect(stdout.split("\n").toSorted().join("\n").trim()).toBe("1 applies hello\n2 applies hello\n3 applies hello");
});
