import { basename } from "node:path";
import { defineConfig } from "vitest/config";

// One configuration for every package. `--dir src` runs unit tests, `--dir test` integration, `--dir scenarios` e2e;
// the results are also left as JSON for scripts/test.ts, which sums them over all suites.
const dir = process.argv[process.argv.indexOf("--dir") + 1] ?? "src";
const suite = { src: "unit", test: "integration", scenarios: "e2e" }[basename(dir)] ?? "other";

export default defineConfig({
  test: {
    include: ["**/*.test.ts"],
    passWithNoTests: true,
    testTimeout: suite === "unit" ? 20_000 : suite === "integration" ? 120_000 : 600_000,
    hookTimeout: suite === "e2e" ? 600_000 : 120_000,
    fileParallelism: suite === "unit",
    pool: "forks",
    maxWorkers: 2,
    // The runtime strips types itself in production; vitest must not down-level.
    reporters: ["default", "json"],
    outputFile: { json: `.test-results/${suite}.json` },
  },
});
