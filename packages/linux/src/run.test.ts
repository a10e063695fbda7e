import { describe, expect, it } from "vitest";
import { listProcesses, readProcessStat, readProcessVariable } from "./proc.ts";
import { run } from "./run.ts";

describe("run", () => {
  it("collects output and feeds input", async () => {
    const result = await run(["sh", "-c", "cat; echo err >&2; exit 3"], { input: "hé", check: false });
    expect(result).toEqual({ exitCode: 3, stdout: "hé", stderr: "err\n", truncated: false });
  });

  it("names the command, how it ended and what it said", async () => {
    await expect(run(["sh", "-c", "echo why >&2; exit 3"])).rejects.toThrow(
      /^sh -c echo why >&2; exit 3 exited with status 3 after \d+ ms: why$/,
    );
    await expect(run(["/nonexistent"])).rejects.toMatchObject({
      code: "ERR_COMMAND",
      message: "failed to run /nonexistent",
    });
  });

  it("ends what takes too long, also with children that hold its output", async () => {
    await expect(run(["sh", "-c", "sleep 5 & sleep 5"], { timeoutMs: 100 })).rejects.toThrow(
      "did not end within 100 ms",
    );
  });

  it("ends when asked", async () => {
    const signal = AbortSignal.timeout(50);
    await expect(run(["sleep", "5"], { signal })).rejects.toMatchObject({ name: "TimeoutError" });
    await expect(run(["sleep", "5"], { signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow("no");
  });

  it("keeps no more output than it may", async () => {
    const result = await run(["sh", "-c", "yes | head -c 100000"], { maxOutputBytes: 10 });
    expect(result).toMatchObject({ stdout: "y\ny\ny\ny\ny\n", truncated: true });
  });
});

describe.skipIf(process.platform !== "linux")("/proc", () => {
  it("reads this process", () => {
    expect(readProcessStat(process.pid)).toMatchObject({
      pid: process.pid,
      parent: process.ppid,
      state: expect.stringMatching(/^[RS]$/),
    });
    expect(listProcesses().map((stat) => stat.pid)).toContain(process.pid);
    expect(readProcessVariable(process.pid, "PATH")).toBeDefined();
  });

  it("has nothing to say of one that is gone", () => {
    expect(readProcessStat(2 ** 22 + 1)).toBeUndefined();
    expect(readProcessVariable(2 ** 22 + 1, "PATH")).toBeUndefined();
  });
});
