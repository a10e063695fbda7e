#!/usr/bin/env node
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { runProgram } from "./program.ts";

const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());
// Whoever reads our output may stop reading: `fleetctl list-units | head -1`.
process.stdout.on("error", () => process.exit());

process.exitCode = await runProgram(process.argv.slice(2), process.env, {
  out: (text) => void process.stdout.write(text),
  err: (line) => void process.stderr.write(`${line}\n`),
  isWatched: process.stderr.isTTY === true,
  async readFile(path) {
    try {
      return await readFile(path, "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
  },
  sleep: (ms) => sleep(ms, undefined, { signal: interrupted.signal }).catch(() => {}),
  nowMs: () => performance.now(),
  signal: interrupted.signal,
});
