#!/usr/bin/env node
import { basename } from "node:path";
import { processIo } from "./process-io.ts";

// One program with two names, as upstream's.
if (basename(process.argv[1] ?? "").startsWith("locksmithd")) await import("./locksmithd.ts");
else {
  const { runLocksmithctl } = await import("./ctl.ts");
  // Whoever reads our output may stop reading: `locksmithctl status | head -1`.
  process.stdout.on("error", () => process.exit());
  process.exitCode = await runLocksmithctl(process.argv.slice(2), processIo());
}
