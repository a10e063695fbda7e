import { join } from "node:path";
import { expect, it } from "vitest";
import { runReadmeExample } from "../src/readme-example.ts";

it("runs the example of the README", async () => {
  expect((await runReadmeExample(join(import.meta.dirname, ".."))).stdout).toBe("20 seeds passed\n");
});
