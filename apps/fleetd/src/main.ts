#!/usr/bin/env node
import { formatErrorChain } from "@keelson/types";
import { isUsageError } from "./config.ts";
import { EXIT, runProgram } from "./program.ts";

// Whoever reads our output may stop reading: `fleetd --help | head`.
process.stdout.on("error", () => process.exit());
try {
  process.exitCode = await runProgram(process.argv.slice(2), process.env);
} catch (error) {
  const isUsage = isUsageError(error);
  const text =
    isUsage || !(error instanceof Error) ? formatErrorChain(error) : (error.stack ?? formatErrorChain(error));
  process.stderr.write(`fleetd: ${text}\n`);
  process.exitCode = isUsage ? EXIT.usage : EXIT.failed;
}
// Connections that others hold open must not keep a program alive that has done its work.
setTimeout(() => process.exit(), 1_000).unref();
