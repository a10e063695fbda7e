import { runReadmeExample } from "@keelson/testkit";
import { expect, it } from "vitest";

it("the example of the README runs", async () => {
  const { stdout } = await runReadmeExample(new URL("..", import.meta.url).pathname);
  expect(stdout).toBe("alpha\ntrue\n");
});
