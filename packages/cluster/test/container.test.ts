import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whyNotBuild } from "@keelson/image-builder";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type ContainerMachine,
  type ContainerProvider,
  createContainerProvider,
  whyNotContainer,
} from "../src/container/index.ts";
import { makeSpecs, waitFor } from "../src/index.ts";

const problem = whyNotContainer() ?? whyNotBuild();
if (problem !== undefined) process.stdout.write(`machines as containers are not tested: ${problem}\n`);

describe.skipIf(problem !== undefined)("machines as containers", () => {
  let provider: ContainerProvider;
  let machines: readonly ContainerMachine[];
  const machine = (i: number) => {
    const found = machines[i];
    if (found === undefined) throw new Error(`no machine ${i}`);
    return found;
  };
  /** Whether machine `from` can open a connection to `to` on the network between machines. */
  const reaches = async (from: number, to: number) =>
    (await machine(from).exec(`timeout 2 bash -c '</dev/tcp/10.77.0.${to + 11}/2380'`)).exitCode === 0;

  beforeAll(async () => {
    provider = await createContainerProvider();
    const startedMs = performance.now();
    machines = await provider.start(makeSpecs("contract", 2));
    process.stdout.write(`container: 2 machines run after ${Math.round(performance.now() - startedMs)} ms\n`);
    await waitFor("etcd on both", async () => (await reaches(0, 1)) && (await reaches(1, 0)), { timeoutMs: 30_000 });
  }, 600_000);

  afterAll(async () => {
    const pids = provider.pids;
    await provider[Symbol.asyncDispose]();
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
    const left = await readdir("/run/netns").catch(() => []);
    expect(left.filter((name) => name.startsWith(`keelson-${process.pid}-`))).toEqual([]);
  });

  it("are who they were told to be", async () => {
    const { spec } = machine(0);
    const result = await machine(0).exec("hostname; cat /etc/machine-id; exit 3");
    expect(result).toEqual({ exitCode: 3, stdout: `${spec.name}\n${spec.machineId}\n`, stderr: "" });
  });

  it("cannot reach each other across a partition, while the host reaches both", async () => {
    await provider.partition([["m1"], ["m2"]]);
    expect(await reaches(0, 1)).toBe(false);
    for (const m of machines) await fetch(`${m.etcdUrl}/version`, { signal: AbortSignal.timeout(5_000) });
    await provider.heal();
    await waitFor("m2 from m1", () => reaches(0, 1), { timeoutMs: 10_000 });
  });

  it("stand still while paused", async () => {
    await machine(1).exec("nohup sh -c 'while sleep 0.05; do date +%s%N >/tmp/beat; done' >/dev/null 2>&1 &");
    await waitFor("a beat", async () => (await machine(1).exec("cat /tmp/beat")).exitCode === 0, { timeoutMs: 10_000 });
    await machine(1).pause();
    expect(machine(1).state).toBe("paused");
    await expect(machine(1).exec("true")).rejects.toThrow(/it is paused, not running/);
    await machine(1).resume();
    expect((await machine(1).exec("true")).exitCode).toBe(0);
  });

  it("have services that come back when killed, and stay away when stopped", async () => {
    const pid = async () => (await machine(0).exec("systemctl show -P MainPID etcd")).stdout.trim();
    const before = await pid();
    await machine(0).killService("etcd");
    await waitFor("another etcd", async () => !["0", before].includes(await pid()), { timeoutMs: 20_000 });
    await machine(0).stopService("fleetd");
    expect((await machine(0).exec("systemctl is-active fleetd")).stdout.trim()).toBe("inactive");
    await machine(0).startService("fleetd");
    expect((await machine(0).exec("systemctl is-active fleetd")).stdout.trim()).toBe("active");
  });

  it("keep their disk and lose their memory when killed", async () => {
    await machine(1).exec("echo disk >/var/lib/mark; echo memory >/run/mark");
    await machine(1).kill();
    expect(machine(1).state).toBe("stopped");
    await expect(machine(1).exec("true")).rejects.toThrow(/it is stopped, not running/);
    await machine(1).restart();
    expect((await machine(1).exec("cat /var/lib/mark; cat /run/mark")).stdout).toBe("disk\n");
  });

  it("leave logs on the host, also of a machine that is gone", async () => {
    const log = await waitFor(
      "etcd's log",
      async () => {
        const text = await machine(0).logs("etcd");
        return text.includes("etcd[") ? text : undefined;
      },
      { timeoutMs: 20_000 },
    );
    expect(log).not.toContain("fleetd[");
    await machine(0).kill();
    expect(await machine(0).logs("etcd")).toContain("etcd[");
    const evidence = await mkdtemp(join(tmpdir(), "keelson-evidence-"));
    await provider.collect(evidence);
    expect(await readFile(join(evidence, "m1/journal.log"), "utf8")).toContain("etcd[");
    expect(await readFile(join(evidence, "m1/etc/etcd.env"), "utf8")).toContain('ETCD_NAME="m1"');
    await rm(evidence, { recursive: true });
    await machine(0).restart();
  });
});
