#!/usr/bin/env node
import { run } from "./cli.ts";
import { processIo } from "./io.ts";

// A reader that has gone (`etcdctl get … | head`) is no reason for a stack trace.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 6));
process.exitCode = await run(process.argv.slice(2), processIo());
