import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Io } from "./io.ts";

/** The real world. The first interrupt ends what waits; a second one the process. */
export function processIo(): Io {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    env: process.env,
    readFile(path) {
      try {
        return readFileSync(path, "utf8");
      } catch {
        return undefined;
      }
    },
    uid: process.geteuid?.(),
    hostname: hostname(),
    nowMs: () => Date.now(),
    signal: interrupted.signal,
  };
}
