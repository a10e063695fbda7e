import { spawn } from "node:child_process";

const OUTPUT_MAX = 64 * 1024;

/** How a command ended. */
export interface CommandEnd {
  /** Undefined when a signal ended it. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  /** The last lines of both streams, in the order in which they came. */
  readonly lastLines: string;
}

/** Runs a command in a process group of its own, which is killed as a whole when the signal aborts. Rejects when it cannot start. */
export function runCommand(
  file: string,
  args: readonly string[],
  signal: AbortSignal,
  lines = 10,
): Promise<CommandEnd> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    let all = "";
    let stdout = "";
    const keep = (text: string, chunk: string) => (text + chunk).slice(-OUTPUT_MAX);
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      all = keep(all, chunk);
      stdout = keep(stdout, chunk);
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      all = keep(all, chunk);
    });
    const kill = () => {
      // Its children may hold the pipes open for ever.
      if (child.pid !== undefined) {
        try {
          process.kill(-child.pid, "SIGKILL");
        } catch {
          // It has ended by itself.
        }
      }
      child.stdout.destroy();
      child.stderr.destroy();
    };
    if (signal.aborted) kill();
    signal.addEventListener("abort", kill, { once: true });
    child.on("error", reject);
    child.on("close", (code) => {
      signal.removeEventListener("abort", kill);
      const lastLines = all.trimEnd().split("\n").slice(-lines).join("\n");
      resolve({ exitCode: code ?? undefined, stdout, lastLines });
    });
  });
}
