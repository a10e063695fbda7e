// npm run check: types, lint, format, boundaries, tidy and unit tests, in under a minute.
import { steps } from "./lib.ts";

export const STATIC_CHECKS = [
  ["types", ["tsc", "-p", "."]],
  ["lint", ["oxlint", "--type-aware"]],
  ["format", ["biome", "check", "."]],
  ["boundaries", ["turbo", "boundaries"]],
  ["tidy", [process.execPath, "scripts/tidy.ts"]],
] as const;

if (import.meta.main) {
  const ok = await steps([
    ...STATIC_CHECKS,
    ["unit tests", ["turbo", "run", "test", "--concurrency=2", "--output-logs=errors-only"]],
  ]);
  process.exitCode = ok ? 0 : 1;
}
