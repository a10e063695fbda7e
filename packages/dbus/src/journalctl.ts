import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type JournalOptions, UnitManagerError } from "@keelson/unit";

/** Lines that one call may ask for. */
const LINES_MAX = 10_000;
const STDERR_LENGTH_MAX = 2000;

/** Reads a unit's journal with journalctl(1), the journal's own reader: its file format is systemd's affair. */
export async function* readJournal(
  journalctl: readonly [string, ...string[]],
  name: string,
  { lines, follow = false, signal }: JournalOptions,
): AsyncIterable<string> {
  const [file, ...prefix] = journalctl;
  const args = [
    `--unit=${name}`,
    "--output=short",
    "--quiet",
    "--no-pager",
    `--lines=${Math.min(Math.max(lines, 0), LINES_MAX)}`,
  ];
  if (follow) args.push("--follow");
  const child = spawn(file, [...prefix, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // a group of its own, so that what a wrapper such as nsenter forks ends with it
  });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-STDERR_LENGTH_MAX);
  });
  const ended = Promise.withResolvers<number>();
  child.once("error", (cause) => ended.reject(new UnitManagerError(`${file} cannot be run`, {}, { cause })));
  child.once("close", (code) => ended.resolve(code ?? 0)); // ended by a signal: by us
  ended.promise.catch(() => {}); // told below, unless the reader leaves first
  const reader = createInterface({ input: child.stdout, crlfDelay: Number.POSITIVE_INFINITY });
  const stop = () => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has just ended.
      }
    }
    reader.close();
    child.stdout.destroy();
    child.stderr.destroy();
  };
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted === true) stop();
  try {
    for await (const line of reader) {
      // What journalctl says itself, such as where a boot begins.
      if (!line.startsWith("-- ")) yield line;
    }
    if (signal?.aborted === true) return;
    const code = await ended.promise;
    if (code !== 0)
      throw new UnitManagerError(`journalctl of unit ${name} exited with status ${code}: ${stderr.trim()}`, { name });
  } finally {
    signal?.removeEventListener("abort", stop);
    stop();
  }
}
