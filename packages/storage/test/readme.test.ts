import { join } from "node:path";
import { runReadmeExample } from "@keelson/testkit";
import { expect, it } from "vitest";

it("runs the example of the README", async () => {
  expect((await runReadmeExample(join(import.meta.dirname, ".."))).stdout).toBe("1\n1\n");
});
