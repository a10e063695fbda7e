import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface ToolResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one of the repository's programs as a user would, from source. */
export function tool(
  app: "etcdctl" | "fleetctl" | "osctl" | "keelson",
  args: readonly string[],
  timeoutMs = 60_000,
): Promise<ToolResult> {
  const argv = [`${ROOT}apps/${app}/src/main.ts`, ...args];
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      argv,
      { timeout: timeoutMs, maxBuffer: 16 << 20, cwd: ROOT },
      (error, stdout, stderr) => {
        const exitCode = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({
          exitCode,
          stdout,
          stderr: error !== null && typeof error.code !== "number" ? `${stderr}${error.message}` : stderr,
        });
      },
    );
  });
}

/** As {@link tool}, and a failure of the program is a failure of the test, with what it said. */
export async function mustRun(
  app: Parameters<typeof tool>[0],
  args: readonly string[],
  timeoutMs?: number,
): Promise<string> {
  const { exitCode, stdout, stderr } = await tool(app, args, timeoutMs);
  if (exitCode !== 0) throw new Error(`${app} ${args.join(" ")} ended with ${exitCode}\n${stdout}${stderr}`);
  return stdout;
}
