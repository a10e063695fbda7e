import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";

// testkit's runReadmeExample cannot be used here: it depends on this package.
it("the README's example runs and prints what it promises", () => {
  const directory = join(import.meta.dirname, "..");
  const code = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(directory, "README.md"), "utf8"))?.[1] ?? "";
  expect(code).not.toBe("");
  mkdirSync(join(directory, "out"), { recursive: true });
  const file = join(directory, "out/readme-example.ts");
  writeFileSync(file, code);
  const out = execFileSync(process.execPath, [file], { encoding: "utf8" });
  const [info, error, last] = out.trim().split("\n");
  expect(info).toMatch(
    /^\{"level":"info","ts":"[-\d]+T[:.\d]+Z","component":"etcd","member":"8e9e05c52164694d","term":2,"msg":"elected"\}$/,
  );
  expect(error).toContain('"error":"disk: ENOSPC"');
  expect(last).toBe("true 0");
});
