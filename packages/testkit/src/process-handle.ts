import { type ChildProcess, spawn } from "node:child_process";
import { connect } from "node:net";
import { ProgramError, TimeoutError } from "./errors.ts";
import { eventually } from "./eventually.ts";

/** Options of {@link startProcess}. */
export interface ProcessOptions {
  /** Shown in errors. Default: the file's name. */
  readonly name?: string;
  readonly cwd?: string;
  /** The whole environment; default this process's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written to standard input, which is then closed. Default: standard input is /dev/null. */
  readonly input?: string | Uint8Array;
  /** Lines of output kept. Default 2,000. */
  readonly linesMax?: number;
}

/** How a program ended. */
export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A line of a program's output. */
export interface OutputLine {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

/** Process groups to kill when the test process ends in any way. */
const groups = new Set<number>();
process.on("exit", () => {
  for (const pid of groups) killGroup(pid, "SIGKILL");
});

/** Starts a program in its own process group. It need not be waited for: a failure to start shows in `exited`. */
export function startProcess(file: string, args: readonly string[] = [], options: ProcessOptions = {}): ProcessHandle {
  return new ProcessHandle(file, args, options);
}

/** A program of a test. Disposing it kills its whole process group. */
export class ProcessHandle implements AsyncDisposable {
  readonly name: string;
  /** Resolves when the program and its output have ended. Rejects when it could not be started. */
  readonly exited: Promise<ProcessExit>;
  readonly #child: ChildProcess;
  readonly #lines: OutputLine[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #linesMax: number;
  #exit: ProcessExit | undefined;

  constructor(file: string, args: readonly string[], options: ProcessOptions) {
    this.name = options.name ?? file.slice(file.lastIndexOf("/") + 1);
    this.#linesMax = options.linesMax ?? 2_000;
    this.#child = spawn(file, args, {
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      env: options.env ?? process.env,
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      detached: true,
    });
    if (this.#child.pid !== undefined) groups.add(this.#child.pid);
    this.#child.stdin?.on("error", () => {});
    this.#child.stdin?.end(options.input);
    this.#collect("stdout");
    this.#collect("stderr");
    this.exited = this.#waitForClose(file);
    // Whoever cares awaits `exited`; a test that does not must not die of it.
    this.exited.catch(() => {});
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new ProgramError(`${this.name} was not started`, { name: this.name });
    return this.#child.pid;
  }

  /** How it ended, or undefined while it runs. */
  get exit(): ProcessExit | undefined {
    return this.#exit;
  }

  /** The lines kept, both streams in the order of arrival. */
  lines(): readonly OutputLine[] {
    return this.#lines;
  }

  /** The lines kept of one stream or both, as text. */
  output(stream?: "stdout" | "stderr"): string {
    return this.#lines
      .filter((line) => stream === undefined || line.stream === stream)
      .map((line) => `${line.text}\n`)
      .join("");
  }

  /** Waits for a line, also one printed before the call, and returns the match. Fails when the program ends first. */
  async waitForLine(pattern: RegExp, timeoutMs = 30_000): Promise<RegExpExecArray> {
    let seen = 0;
    const find = () => {
      for (; seen < this.#lines.length; seen++) {
        const match = pattern.exec(this.#lines[seen]?.text ?? "");
        if (match !== null) return match;
      }
      return undefined;
    };
    return await this.#waitFor(find, timeoutMs, `a line matching ${pattern}`);
  }

  /** Waits until something accepts connections on a port of 127.0.0.1. Fails when the program ends first. */
  async waitForPort(port: number, timeoutMs = 30_000): Promise<void> {
    const check = async () => {
      if (this.#exit !== undefined) return "ended" as const;
      return (await accepts(port)) ? ("open" as const) : undefined;
    };
    const result = await eventually(check, { timeoutMs, what: `port ${port} of ${this.name}` });
    if (result === "ended") throw this.#ended(`before it listened on port ${port}`);
  }

  /** Waits for its end. */
  async waitForExit(timeoutMs = 30_000): Promise<ProcessExit> {
    const timer = Promise.withResolvers<never>();
    const handle = setTimeout(() => timer.reject(this.#timeout("its end", timeoutMs)), timeoutMs);
    try {
      return await Promise.race([this.exited, timer.promise]);
    } finally {
      clearTimeout(handle);
    }
  }

  /** Sends a signal to the program alone. */
  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    this.#child.kill(signal);
  }

  /** Sends a signal to the program and all its descendants in its process group. */
  killTree(signal: NodeJS.Signals = "SIGKILL"): void {
    if (this.#child.pid !== undefined) killGroup(this.#child.pid, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Children may outlive the program itself, so the group is killed in any case.
    this.killTree();
    await this.exited.catch(() => {});
    if (this.#child.pid !== undefined) groups.delete(this.#child.pid);
  }

  #collect(stream: "stdout" | "stderr"): void {
    let rest = "";
    const add = (text: string) => {
      this.#lines.push({ stream, text });
      if (this.#lines.length > this.#linesMax) this.#lines.splice(0, this.#lines.length - this.#linesMax);
      for (const watcher of this.#watchers) watcher();
    };
    const source = this.#child[stream];
    source?.setEncoding("utf8").on("data", (chunk: string) => {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop() ?? "";
      for (const part of parts) add(part);
    });
    source?.on("end", () => {
      if (rest !== "") add(rest);
    });
  }

  #waitForClose(file: string): Promise<ProcessExit> {
    return new Promise((resolve, reject) => {
      this.#child.once("error", (cause) => {
        this.#exit = { code: 127, signal: null };
        reject(new ProgramError(`cannot start ${file}`, { file }, { cause }));
      });
      this.#child.once("close", (code, signal) => {
        this.#exit = { code, signal };
        for (const watcher of this.#watchers) watcher();
        resolve(this.#exit);
      });
    });
  }

  #waitFor<T>(find: () => T | undefined, timeoutMs: number, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = () => {
        this.#watchers.delete(look);
        clearTimeout(timer);
      };
      const look = () => {
        const found = find();
        if (found === undefined && this.#exit === undefined) return;
        finish();
        if (found === undefined) reject(this.#ended(`before ${what}`));
        else resolve(found);
      };
      const timer = setTimeout(() => {
        finish();
        reject(this.#timeout(what, timeoutMs));
      }, timeoutMs);
      this.#watchers.add(look);
      look();
    });
  }

  #ended(when: string): ProgramError {
    const how = this.#exit?.signal ?? `code ${this.#exit?.code}`;
    return new ProgramError(`${this.name} ended with ${how} ${when}${this.#tail()}`, { output: this.output() });
  }

  #timeout(what: string, timeoutMs: number): TimeoutError {
    return new TimeoutError(`${this.name} did not show ${what} within ${timeoutMs} ms${this.#tail()}`, { timeoutMs });
  }

  #tail(): string {
    const tail = this.#lines.slice(-15).map((line) => `  ${line.text}`);
    return tail.length === 0 ? "; it printed nothing" : `; its last lines:\n${tail.join("\n")}`;
  }
}

/** What a program that ran to its end left behind. */
export interface RunResult extends ProcessExit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. A non-zero exit is a result, not an error; a time-out (default 60 s) kills and throws. */
export async function runProcess(
  file: string,
  args: readonly string[] = [],
  options: ProcessOptions & { readonly timeoutMs?: number } = {},
): Promise<RunResult> {
  await using handle = startProcess(file, args, { linesMax: 100_000, ...options });
  const exit = await handle.waitForExit(options.timeoutMs ?? 60_000);
  return { ...exit, stdout: handle.output("stdout"), stderr: handle.output("stderr") };
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody of the group is left.
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
