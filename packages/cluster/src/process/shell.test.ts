import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { waitFor } from "../wait.ts";
import { runShell } from "./shell.ts";

const options = {
  cwd: tmpdir(),
  env: { PATH: process.env["PATH"] ?? "" },
  timeoutMs: 10_000,
  outputBytesMax: 100,
  track: () => ({ [Symbol.dispose]() {} }),
};

it("tells the exit code and the beginning of both outputs", async () => {
  expect(await runShell("echo out; echo err >&2; exit 7", options)).toEqual({
    exitCode: 7,
    stdout: "out\n",
    stderr: "err\n",
  });
  expect((await runShell("head -c 100000 /dev/zero | tr '\\0' x", options)).stdout).toBe("x".repeat(100));
});

it("ends the whole process group of a command that takes too long", async () => {
  const directory = await mkdtemp(join(tmpdir(), "keelson-shell-"));
  try {
    const run = runShell("sleep 300 & echo $! >pid; wait", { ...options, cwd: directory, timeoutMs: 500 });
    await expect(run).rejects.toThrow("command did not end within 0.5 s: sleep 300 & echo $! >pid; wait");
    const pid = Number(readFileSync(join(directory, "pid"), "utf8"));
    await waitFor("the end of its child", () => !isRunning(pid), { timeoutMs: 5_000 });
  } finally {
    await rm(directory, { recursive: true });
  }
});

it("says which signal ended a command", async () => {
  await expect(runShell("kill -TERM $$", options)).rejects.toThrow("command was ended by SIGTERM: kill -TERM $$");
});

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
