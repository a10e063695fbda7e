import { whyNotBuild } from "@keelson/image-builder";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeSpecs, waitFor } from "../src/index.ts";
import { createQemuProvider, type QemuMachine, type QemuProvider, whyNotQemu } from "../src/qemu/index.ts";
import { HostService } from "./contract/boots.ts";

const problem = whyNotQemu() ?? whyNotBuild();
if (problem !== undefined) process.stdout.write(`machines as VMs are not tested: ${problem}\n`);

/** The goal is 10 s on a quiet machine; a busy one gets three times that. */
const BOOT_SECONDS_MAX = 30;
/** Larger than the image's, as a cloud's would be. */
const DISK_MIB = 4096;
const WAIT = { timeoutMs: 120_000, everyMs: 500 };

describe.skipIf(problem !== undefined)("a machine as a VM", () => {
  const service = new HostService();
  let provider: QemuProvider;
  let vm: QemuMachine;
  const isHealthy = async () => (await fetch(`${vm.etcdUrl}/health`, { signal: AbortSignal.timeout(10_000) })).ok;

  beforeAll(async () => {
    provider = await createQemuProvider({
      disk: "volatile-cache",
      unflushed: "lose",
      diskMiB: DISK_MIB,
      services: { hello: await service.listen() },
    });
    const [first] = await provider.start(makeSpecs("contract", 1));
    if (first === undefined) throw new Error("no machine was started");
    vm = first;
  }, 600_000);

  afterAll(async () => {
    const pids = provider.pids;
    await provider[Symbol.asyncDispose]();
    await service[Symbol.asyncDispose]();
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  });

  it("reaches multi-user.target in time", () => {
    process.stdout.write(`qemu (${provider.acceleration}): kernel to multi-user.target in ${vm.bootSeconds} s\n`);
    expect(vm.bootSeconds).toBeLessThan(BOOT_SECONDS_MAX);
  });

  it("is who it was told to be", async () => {
    const { stdout } = await vm.exec(
      "hostname; cat /etc/machine-id; ls /sys/class/net | wc -l; systemctl is-system-running --wait",
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

  it("reaches a service of the host", async () => {
    const { host, port } = provider.serviceAddress("hello");
    const { stdout } = await vm.exec(
      `bash -c "exec 3<>/dev/tcp/${host}/${port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3"`,
    );
    expect(stdout).toBe(HostService.text);
  });

  it("reboots itself, into what its disk says, and keeps its files", { timeout: 300_000 }, async () => {
    await vm.exec("echo kept >/var/lib/mark");
    const before = await vm.bootId();
    const pid = vm.pid;
    expect(await vm.reboot({ timeoutMs: 240_000 })).not.toBe(before);
    expect(vm.pid).not.toBe(pid); // another QEMU: who loads the kernel decided anew
    expect((await vm.exec("cat /var/lib/mark; cat /proc/cmdline")).stdout).toMatch(
      /^kept\n.* keelson\.entry=keelson-1 keelson\.loader=direct /,
    );
    expect(await vm.serial()).toContain("reached multi-user.target");
  });

  it("loses its power, finds what it had flushed, and not what it had not", { timeout: 600_000 }, async () => {
    let unflushed = 0;
    // Once is enough, unless the host is so busy that ext4, which flushes every five seconds, comes in between.
    for (let tries = 0; tries < 3 && unflushed < 16; tries++) {
      await vm.exec("head -c 1048576 /dev/zero | tr '\\0' b >/tmp/b; tr b a </tmp/b >/var/lib/mark; sync; sleep 6");
      // In place, so that only the file's own blocks are written.
      await vm.exec("dd if=/tmp/b of=/var/lib/mark bs=64k conv=notrunc oflag=direct");
      const { unflushedWrites, lostWrites } = await vm.powerCut();
      unflushed = unflushedWrites;
      process.stdout.write(`qemu: ${lostWrites} of ${unflushedWrites} unflushed writes were lost\n`);
      expect(vm.state).toBe("stopped");
      expect(await vm.logs("etcd")).toContain("etcd[");
      await vm.restart();
    }
    expect(unflushed).toBeGreaterThanOrEqual(16);
    const { stdout } = await vm.exec("fold -w 65536 /var/lib/mark | cut -c 1 | sort | uniq -c");
    expect(stdout.trim()).toBe("16 a");
    await waitFor("a healthy etcd", isHealthy, WAIT);
  });
});
