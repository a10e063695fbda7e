import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

export interface RunResult {
  readonly exitCode: number;
  readonly tookMs: number;
}

/** Runs a program with our standard streams and tells how it ended. */
export function run(
  argv: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<RunResult> {
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0] ?? "", argv.slice(1), {
      cwd: options.cwd ?? ROOT,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", ...options.env },
    });
    child.once("error", reject);
    child.once("exit", (code) => resolve({ exitCode: code ?? 1, tookMs: performance.now() - startedMs }));
  });
}

/** Runs steps in order, prints how long each took, and stops at the first that fails. */
export async function steps(list: readonly (readonly [title: string, argv: readonly string[]])[]): Promise<boolean> {
  for (const [title, argv] of list) {
    const { exitCode, tookMs } = await run(argv);
    process.stderr.write(`${exitCode === 0 ? "ok  " : "FAIL"} ${title} (${(tookMs / 1000).toFixed(1)} s)\n`);
    if (exitCode !== 0) return false;
  }
  return true;
}
