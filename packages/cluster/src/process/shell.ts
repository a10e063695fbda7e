import { spawn } from "node:child_process";
import { ClusterError } from "../errors.ts";
import type { ExecResult } from "../port.ts";
import { signalPid } from "./process-tree.ts";

export interface ShellOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Bytes kept of each stream; the rest is read and dropped. */
  readonly outputBytesMax: number;
  /** Told the process's id, which is its group's too, and when it has ended. */
  readonly track: (pid: number) => Disposable;
}

/**
 * Runs `sh -c command` in a process group of its own, which ends with it when it takes too long.
 * @throws ClusterError when it was ended by the timeout or by a signal
 */
export async function runShell(command: string, options: ShellOptions): Promise<ExecResult> {
  const { cwd, env, timeoutMs, outputBytesMax } = options;
  const child = spawn("sh", ["-c", command], { cwd, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const output = { stdout: new Head(outputBytesMax), stderr: new Head(outputBytesMax) };
  child.stdout.on("data", (chunk: Buffer) => output.stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => output.stderr.push(chunk));
  using _tracked = child.pid === undefined ? undefined : options.track(child.pid);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    if (child.pid !== undefined) signalPid(-child.pid, "SIGKILL");
    // Whoever left the group may hold the pipes for ever.
    child.stdout.destroy();
    child.stderr.destroy();
  }, timeoutMs);
  try {
    const [exitCode, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
      child.once("error", (cause) => reject(new ClusterError("failed to run sh", {}, { cause })));
      child.once("close", (code, name) => resolve([code, name]));
    });
    if (isLate) throw new ClusterError(`command did not end within ${timeoutMs / 1000} s: ${command.slice(0, 200)}`);
    if (exitCode === null) throw new ClusterError(`command was ended by ${signal}: ${command.slice(0, 200)}`);
    return { exitCode, stdout: output.stdout.text(), stderr: output.stderr.text() };
  } finally {
    clearTimeout(timer);
  }
}

/** The first bytes of a stream. */
class Head {
  readonly #chunks: Buffer[] = [];
  #room: number;

  constructor(bytesMax: number) {
    this.#room = bytesMax;
  }

  push(chunk: Buffer): void {
    if (this.#room <= 0) return;
    const kept = chunk.subarray(0, this.#room);
    this.#room -= kept.length;
    this.#chunks.push(kept);
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}
