#!/usr/bin/env node
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { CommandError } from "./io.ts";
import { runProgram } from "./program.ts";

const interrupted = new AbortController();
// Whatever is being prepared is left to `rkt gc` when it does not notice in time.
for (const [signal, exitCode] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.once(signal, () => {
    interrupted.abort();
    setTimeout(() => process.exit(exitCode), 1000);
  });
}
// Whoever reads our output may stop reading: `rkt list | head -1`.
process.stdout.on("error", () => process.exit());

process.exitCode = await runProgram(
  process.argv.slice(2),
  {
    out: (text) => void process.stdout.write(text),
    err: (line) => void process.stderr.write(`${line}\n`),
    isWatched: process.stderr.isTTY === true,
    isTerminal: process.stdin.isTTY === true && process.stdout.isTTY === true,
    environment: process.env,
    nowMs: () => Date.now(),
    signal: interrupted.signal,
    become,
  },
  process.getuid?.() === 0,
);
// Connections to registries are kept open for a while; nothing is to be waited for.
process.exit();

/** execve(2): the process stays, its program goes. Nothing of Node's is left beside the container. */
function become([file, ...args]: readonly [string, ...string[]]): Promise<number> {
  const path = file.includes("/") ? file : find(file);
  if (path === undefined) throw new CommandError(`the program ${file} is missing`);
  if (process.execve === undefined)
    throw new CommandError("this Node cannot replace itself (process.execve): 22.15 or newer is needed");
  process.execve(path, [file, ...args], process.env);
  throw new CommandError(`${path} could not be executed`);
}

function find(program: string): string | undefined {
  return (process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin")
    .split(":")
    .map((directory) => join(directory, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
