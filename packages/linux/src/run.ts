import { spawn } from "node:child_process";
import { CommandError } from "./errors.ts";

/** Bounds of {@link run}. */
export interface RunOptions {
  /** The command is killed after so long. Default 30 s. */
  readonly timeoutMs?: number;
  /** Bytes kept of each stream; the rest is read and dropped. Default 1 MiB. */
  readonly maxOutputBytes?: number;
  /** Given on standard input. Default: nothing. */
  readonly input?: string | Uint8Array;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Kills the command. */
  readonly signal?: AbortSignal;
  /** Reject with {@link CommandError} unless the exit code is 0. Default true. */
  readonly check?: boolean;
}

/** How a command ended. */
export interface RunResult {
  /** 128 + the signal's number when a signal ended it, as in sh. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Output was dropped. */
  readonly truncated: boolean;
}

/**
 * Runs a command and collects what it prints, within bounds. No shell is involved.
 *
 * @throws CommandError with the command, how it ended and the end of its standard error
 */
export async function run(argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunResult> {
  const { timeoutMs = 30_000, maxOutputBytes = 1024 * 1024, input, env, cwd, signal, check = true } = options;
  const [file, ...args] = argv;
  const started = performance.now();
  const child = spawn(file, args, {
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    ...(env === undefined ? {} : { env }),
    ...(cwd === undefined ? {} : { cwd }),
  });
  const stdout = new Collected(maxOutputBytes);
  const stderr = new Collected(maxOutputBytes);
  child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
  child.stdin?.on("error", () => {}); // the command may end without reading its input
  child.stdin?.end(input);

  let stopped: "timeout" | "abort" | undefined;
  const stop = (why: "timeout" | "abort") => {
    stopped = why;
    child.kill("SIGKILL");
    // A grandchild that holds the pipes open must not keep us waiting.
    child.stdout?.destroy();
    child.stderr?.destroy();
  };
  const timer = setTimeout(() => stop("timeout"), timeoutMs);
  const abort = () => stop("abort");
  if (signal?.aborted === true) abort();
  else signal?.addEventListener("abort", abort, { once: true });
  try {
    const exitCode = await ended(child, file);
    const result = {
      exitCode,
      stdout: stdout.text(),
      stderr: stderr.text(),
      truncated: stdout.dropped || stderr.dropped,
    };
    if (stopped === "abort") throw signal?.reason ?? new CommandError(`${file} was aborted`);
    const took = Math.round(performance.now() - started);
    if (stopped === "timeout") throw failure(argv, `did not end within ${timeoutMs} ms`, took, result);
    if (check && exitCode !== 0) throw failure(argv, `exited with status ${exitCode}`, took, result);
    return result;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

function ended(child: ReturnType<typeof spawn>, file: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", (cause) => reject(new CommandError(`failed to run ${file}`, { file }, { cause })));
    child.once("close", (code, name) => resolve(code ?? 128 + signalNumber(name)));
  });
}

function signalNumber(name: NodeJS.Signals | null): number {
  return name === "SIGKILL" ? 9 : name === "SIGTERM" ? 15 : name === "SIGINT" ? 2 : 0;
}

function failure(argv: readonly string[], how: string, tookMs: number, result: RunResult): CommandError {
  const said = (result.stderr.trim() || result.stdout.trim()).slice(-2000);
  return new CommandError(
    `${argv.join(" ").slice(0, 500)} ${how} after ${tookMs} ms${said === "" ? "" : `: ${said}`}`,
    {
      argv,
      exitCode: result.exitCode,
    },
  );
}

/** The first bytes of a stream. */
class Collected {
  readonly #chunks: Buffer[] = [];
  readonly #max: number;
  #size = 0;
  dropped = false;

  constructor(max: number) {
    this.#max = max;
  }

  push(chunk: Buffer): void {
    const room = this.#max - this.#size;
    if (chunk.length > room) this.dropped = true;
    if (room <= 0) return;
    const kept = chunk.subarray(0, room);
    this.#chunks.push(kept);
    this.#size += kept.length;
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}
