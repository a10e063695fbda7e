import { whyNotBuild } from "@keelson/image-builder";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeSpecs, waitFor } from "../src/index.ts";
import { createQemuProvider, type QemuMachine, type QemuProvider, whyNotQemu } from "../src/qemu/index.ts";

const problem = whyNotQemu() ?? whyNotBuild();
if (problem !== undefined) process.stdout.write(`machines as VMs are not tested: ${problem}\n`);

/** The goal is 10 s on a quiet machine; a busy one gets three times that. */
const BOOT_SECONDS_MAX = 30;
const WAIT = { timeoutMs: 120_000, everyMs: 500 };

describe.skipIf(problem !== undefined)("a machine as a VM", () => {
  let provider: QemuProvider;
  let vm: QemuMachine;
  const isHealthy = async () => (await fetch(`${vm.etcdUrl}/health`, { signal: AbortSignal.timeout(10_000) })).ok;

  beforeAll(async () => {
    provider = await createQemuProvider();
    const [first] = await provider.start(makeSpecs("contract", 1));
    if (first === undefined) throw new Error("no machine was started");
    vm = first;
  }, 600_000);

  afterAll(async () => {
    const pids = provider.pids;
    await provider[Symbol.asyncDispose]();
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  });

  it("reaches multi-user.target in time", () => {
    process.stdout.write(`qemu (${provider.acceleration}): kernel to multi-user.target in ${vm.bootSeconds} s\n`);
    expect(vm.bootSeconds).toBeLessThan(BOOT_SECONDS_MAX);
  });

  it("is who it was told to be", async () => {
    const { stdout } = await vm.exec(
      "hostname; cat /etc/machine-id; ls /sys/class/net | wc -l; systemctl is-system-running",
    );
    expect(stdout).toBe(`${vm.spec.name}\n${vm.spec.machineId}\n3\nrunning\n`);
  });

  it("answers the host on etcd's port", { timeout: 150_000 }, async () => {
    await waitFor("a healthy etcd", isHealthy, WAIT);
  });

  it("tells exit codes and both outputs of commands, and ends those that take too long", {
    timeout: 150_000,
  }, async () => {
    expect(await vm.exec("echo out; echo err >&2; exit 3")).toEqual({ exitCode: 3, stdout: "out\n", stderr: "err\n" });
    await expect(vm.exec("sleep 60", { timeoutMs: 1000 })).rejects.toThrow(/did not end within 1 s/);
  });

  it("stands still while paused", { timeout: 150_000 }, async () => {
    await vm.pause();
    await expect(vm.exec("true")).rejects.toThrow(/it is paused, not running/);
    await vm.resume();
    expect((await vm.exec("true")).exitCode).toBe(0);
  });

  it("loses its power, and finds what it had flushed", { timeout: 300_000 }, async () => {
    await vm.exec("echo flushed >/var/lib/mark && sync /var/lib/mark");
    await vm.kill();
    expect(vm.state).toBe("stopped");
    expect(await vm.logs("etcd")).toContain("etcd[");
    await vm.restart();
    expect((await vm.exec("cat /var/lib/mark")).stdout).toBe("flushed\n");
    await waitFor("a healthy etcd", isHealthy, WAIT);
  });
});
