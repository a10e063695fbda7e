import { resolve } from "node:path";
import { runReadmeExample } from "@keelson/testkit";
import { expect, it } from "vitest";

it("the README's example runs", async () => {
  const { stdout } = await runReadmeExample(resolve(import.meta.dirname, ".."));
  expect(stdout.split("\n").map((line) => line.trim())).toEqual([
    "docker.io/library/debian:13",
    "https://auth.example/token",
    "{ uid: 1000, home: '/srv', gid: 1000, additionalGids: [] }",
    "true",
    "",
  ]);
});
