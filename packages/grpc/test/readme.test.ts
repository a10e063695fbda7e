import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";

const root = join(import.meta.dirname, "..");

it("the README's example runs", () => {
  const example = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1] ?? "";
  // Inside the package, so that its own name and its dependencies resolve.
  const file = join(root, "test", `.readme-${process.pid}.ts`);
  writeFileSync(file, example.replaceAll("@keelson/grpc", "../src/index.ts"));
  try {
    expect(execFileSync(process.execPath, [file], { encoding: "utf8" })).toBe("k\n");
  } finally {
    rmSync(file);
  }
});
