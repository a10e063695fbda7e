import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually } from "@keelson/testkit";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Waits until the expectations of `check` hold. */
export async function holds(check: () => void | Promise<void>, timeoutMs = 60_000): Promise<void> {
  await eventually(
    async () => {
      await check();
      return true;
    },
    { timeoutMs },
  );
}

/** A `keelson` that runs still. */
export interface RunningCli {
  readonly child: ChildProcess;
  readonly result: Promise<CliResult>;
  /** What it has written so far to either stream. */
  text(): string;
}

/** Runs `keelson` with a temporary directory of its own, where all of its clusters are. */
export class CliBench implements Disposable {
  // Short: sockets are below it.
  readonly directory = mkdtempSync(join(tmpdir(), "kt-"));

  start(...args: string[]): RunningCli {
    const env = { ...process.env, TMPDIR: this.directory };
    const child = spawn(process.execPath, [MAIN, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
    const texts = { out: "", err: "" };
    child.stdout.on("data", (chunk: Buffer) => (texts.out += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (texts.err += chunk.toString()));
    const result = once(child, "close").then(([code]) => ({ code: code as number | null, ...texts }));
    return { child, result, text: () => texts.out + texts.err };
  }

  run(...args: string[]): Promise<CliResult> {
    return this.start(...args).result;
  }

  clusterDirectory(name: string): string {
    return join(this.directory, `keelson-${userInfo().uid}`, name);
  }

  /** Command lines of live processes that belong to clusters of this bench. Linux only; empty elsewhere. */
  processes(): string[] {
    if (process.platform !== "linux") return [];
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .flatMap((pid) => {
        try {
          const environ = readFileSync(`/proc/${pid}/environ`, "utf8");
          const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
          return environ.includes(this.directory) || line.includes(this.directory) ? [`${pid} ${line}`] : [];
        } catch {
          return []; // it has ended
        }
      });
  }

  /** How many they are at least; where they cannot be seen, more than any. */
  processCount(): number {
    return process.platform === "linux" ? this.processes().length : Number.POSITIVE_INFINITY;
  }

  hasDirectory(name: string): boolean {
    return existsSync(this.clusterDirectory(name));
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
