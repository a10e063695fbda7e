import { spawn } from "node:child_process";
import { ImageBuildError } from "./errors.ts";

/** Most of a program's standard output that is kept; enough for a package list with descriptions. */
const STDOUT_BYTES_MAX = 64 << 20;
/** How much of the end of its standard error goes into an error. */
const STDERR_TAIL_CHARS = 2000;

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly signal?: AbortSignal | undefined;
  /** Called with each line of standard error, for progress. */
  readonly onStderrLine?: (line: string) => void;
  /** Exit codes that are success; default only 0. */
  readonly okCodes?: readonly number[];
  readonly input?: string;
}

/**
 * Runs a program of the host to its end and returns its standard output.
 * @throws {ImageBuildError} when it cannot start or fails, with the end of its standard error.
 */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: "C", ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
    signal: options.signal,
  });
  const stdout: Buffer[] = [];
  let stdoutBytes = 0;
  let stderr = "";
  let partLine = "";
  child.stdin.on("error", () => {}); // A program that does not read its input is not an error.
  child.stdin.end(options.input ?? "");
  child.stdout.on("data", (chunk: Buffer) => {
    stdoutBytes += chunk.length;
    if (stdoutBytes <= STDOUT_BYTES_MAX) stdout.push(chunk);
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr = (stderr + chunk).slice(-STDERR_TAIL_CHARS);
    const lines = (partLine + chunk).split("\n");
    partLine = lines.pop() ?? "";
    for (const line of lines) options.onStderrLine?.(line);
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | NodeJS.Signals>();
  child.once("error", reject);
  child.once("close", (code, signal) => resolve(code ?? signal ?? -1));
  let end: number | NodeJS.Signals;
  try {
    end = await promise;
  } catch (cause) {
    throw new ImageBuildError(`cannot run ${program}`, { program }, { cause });
  }
  if (typeof end !== "number" || !(options.okCodes ?? [0]).includes(end)) {
    const how = typeof end === "number" ? `exit code ${end}` : end;
    throw new ImageBuildError(`${program} failed (${how}): ${stderr.trim() || "it printed nothing"}`, {
      program,
      args: args.slice(0, 20),
    });
  }
  if (stdoutBytes > STDOUT_BYTES_MAX) {
    throw new ImageBuildError(`${program} printed ${stdoutBytes} bytes; at most ${STDOUT_BYTES_MAX} are taken`);
  }
  return Buffer.concat(stdout).toString("utf8");
}
