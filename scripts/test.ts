// npm test: everything. Ends with the plain line `N passed, N failed, N skipped` summed over all suites.
//
//   npm test -- unit integration e2e     only these stages (default: all, with the static checks first)
import { existsSync, globSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { STATIC_CHECKS } from "./check.ts";
import { ROOT, run, steps } from "./lib.ts";

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** The parts of vitest's JSON report that are summed. */
interface Report {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
}

const STAGES = {
  unit: ["turbo", "run", "test", "--concurrency=2", "--continue", "--output-logs=new-only"],
  // Much of it waits for leases and elections. The two packages that boot VMs run one after the other (turbo.json of cluster).
  integration: ["turbo", "run", "test:integration", "--concurrency=2", "--continue", "--output-logs=new-only"],
  e2e: ["pnpm", "--filter", "@keelson/e2e", "run", "test:e2e"],
} as const;
type Stage = keyof typeof STAGES;

function readReports(stage: Stage, totals: Totals): void {
  for (const file of globSync(`{packages/*,apps/*,e2e}/.test-results/${stage}.json`, { cwd: ROOT })) {
    const report = JSON.parse(readFileSync(join(ROOT, file), "utf8")) as Report;
    totals.passed += report.numPassedTests;
    totals.failed += report.numFailedTests;
    totals.skipped += report.numPendingTests + report.numTodoTests;
    // A file that could not even be loaded fails without counting a test.
    if (!report.success && report.numFailedTests === 0) totals.failed += 1;
  }
}

async function main(wanted: readonly Stage[], withChecks: boolean): Promise<boolean> {
  let ok = !withChecks || (await steps(STATIC_CHECKS));
  const totals: Totals = { passed: 0, failed: ok ? 0 : 1, skipped: 0 };
  for (const stage of wanted) {
    for (const file of globSync(`{packages/*,apps/*,e2e}/.test-results/${stage}.json`, { cwd: ROOT }))
      rmSync(join(ROOT, file));
    const { exitCode, tookMs } = await run(STAGES[stage]);
    process.stderr.write(`${exitCode === 0 ? "ok  " : "FAIL"} ${stage} tests (${(tookMs / 1000).toFixed(1)} s)\n`);
    const before = totals.failed;
    readReports(stage, totals);
    if (exitCode !== 0) {
      ok = false;
      if (totals.failed === before) totals.failed += 1;
    }
  }
  process.stdout.write(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`);
  return ok && totals.failed === 0 && totals.passed > 0;
}

const args = process.argv.slice(2);
const unknown = args.filter((arg) => !(arg in STAGES));
if (unknown.length > 0 || !existsSync(join(ROOT, "packages"))) {
  process.stderr.write(`unknown stage ${unknown.join(" ")}: give any of ${Object.keys(STAGES).join(", ")}\n`);
  process.exitCode = 2;
} else {
  const ok = await main(args.length > 0 ? (args as Stage[]) : (Object.keys(STAGES) as Stage[]), args.length === 0);
  process.exitCode = ok ? 0 : 1;
}
