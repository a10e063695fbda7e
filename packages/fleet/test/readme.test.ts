import { runReadmeExample } from "@keelson/testkit";
import { expect, it } from "vitest";

it("the example of the README runs", async () => {
  const { stdout } = await runReadmeExample(new URL("..", import.meta.url).pathname);
  expect(stdout).toMatch(
    /^db\.service -> m2\nweb@1\.service -> m1\nweb@2\.service -> m2\nweb@3\.service waits: no agents/,
  );
});
