import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Bench } from "./bench.ts";

const OUTPUT_BYTES_MAX = 1 << 20;

/** Commands on machines, their logs, and the evidence they leave. */
export function commandTests(bench: () => Bench): void {
  it("runs commands: exit code and both outputs", async () => {
    const result = await bench().machine(0).exec("echo out; echo err >&2; exit 3");
    expect(result).toEqual({ exitCode: 3, stdout: "out\n", stderr: "err\n" });
    const own = await bench().machine(1).exec("mkdir -p /tmp && true");
    expect(own.exitCode).toBe(0);
  });

  it("bounds what a command prints", async () => {
    const { exitCode, stdout } = await bench().machine(0).exec("head -c 3000000 /dev/zero | tr '\\0' x");
    expect(exitCode).toBe(0);
    expect(stdout.length).toBeGreaterThan(0);
    expect(stdout.length).toBeLessThanOrEqual(OUTPUT_BYTES_MAX);
    expect(stdout).toMatch(/^x+$/);
  });

  it("ends commands that take too long, and says so", async () => {
    const startedMs = performance.now();
    const command = bench().machine(0).exec("sleep 300; true", { timeoutMs: 1000 });
    await expect(command).rejects.toThrow(/did not end within/);
    expect(performance.now() - startedMs).toBeLessThan(20_000 * bench().provider.slowness);
    expect((await bench().machine(0).exec("echo on")).stdout).toBe("on\n");
  });

  it("keeps logs of each program and of the machine", async () => {
    for (const service of ["etcd", "fleetd"] as const) {
      await bench().until(`${service}'s log`, async () => (await bench().machine(0).logs(service)) !== "");
    }
    const etcd = await bench().machine(0).logs("etcd");
    await bench().until("the machine's log", async () => (await bench().machine(0).logs("system")) !== "");
    expect(etcd).toContain("etcd");
    expect(etcd.length).toBeLessThanOrEqual(OUTPUT_BYTES_MAX);
  });

  it("collects evidence of every machine", async () => {
    const directory = await mkdtemp(join(tmpdir(), "keelson-contract-"));
    try {
      await bench().provider.collect(directory);
      for (const { spec } of bench().machines) expect(await readdir(join(directory, spec.name))).not.toEqual([]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
}
