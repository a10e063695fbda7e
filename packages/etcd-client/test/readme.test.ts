import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { startUpstream, upstream } from "./upstream.ts";

const root = join(import.meta.dirname, "..");

it.skipIf(!upstream.ok)("the README's example runs", async () => {
  await using cluster = await startUpstream(1);
  const example = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1] ?? "";
  const file = join(root, "test", `.readme-${process.pid}.ts`);
  writeFileSync(file, example.replaceAll("@keelson/etcd-client", "../src/index.ts"));
  try {
    const env = { ...process.env, ENDPOINT: cluster.endpoints[0] };
    const { stdout } = await promisify(execFile)(process.execPath, [file], { env, timeout: 30_000 });
    expect(stdout).toBe("true put jobs/1 todo\n");
  } finally {
    rmSync(file);
  }
});
