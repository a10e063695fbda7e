import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";

const root = join(import.meta.dirname, "..");

function files(dir: string): Record<string, string> {
  const names = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  return Object.fromEntries(names.toSorted().map((name) => [name, readFileSync(join(dir, name), "utf8")]));
}

it("src/gen is what buf makes of proto/ (if not: pnpm gen)", () => {
  const out = mkdtempSync(join(tmpdir(), "keelson-gen-"));
  try {
    const bin = join(root, "node_modules/.bin");
    execFileSync(join(bin, "buf"), ["generate", "--output", out], {
      cwd: root,
      env: { ...process.env, PATH: `${bin}:${process.env["PATH"]}`, BUF_CACHE_DIR: out },
      stdio: "pipe",
    });
    expect(files(join(root, "src/gen"))).toEqual(files(join(out, "src/gen")));
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});
