import { existsSync } from "node:fs";
import { runProcess } from "@keelson/testkit";

/** Why upstream's program cannot judge here; undefined when it can. */
export function stockProblem(): string | undefined {
  if (process.platform !== "linux") return "upstream's ostree runs on Linux only";
  if (!existsSync("/usr/bin/ostree")) return "the Debian package ostree is not installed (scripts/bootstrap.mjs)";
  return process.getuid?.() === 0 ? undefined : "bare repositories with owners need root";
}

/** Runs upstream's ostree; fails unless it succeeds. */
export async function stock(args: readonly string[]): Promise<string> {
  const result = await runProcess("/usr/bin/ostree", args);
  if (result.code !== 0) {
    throw new Error(`ostree ${args.join(" ")} exited with ${result.code}: ${result.stderr}${result.stdout}`);
  }
  return result.stdout.trim();
}
