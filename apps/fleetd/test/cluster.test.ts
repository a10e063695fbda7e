import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { Etcd } from "@keelson/etcd";
import type { FleetClient } from "@keelson/fleet";
import { eventually, startUpstreamEtcd, type TempDir, tempDir, upstreamEtcdServer } from "@keelson/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestMachine } from "./harness.ts";

const upstream = await upstreamEtcdServer("3.5");
const option = (section: string, name: string, value: string) => ({ section, name, value });
const SLEEP = [option("Service", "ExecStart", "/bin/sleep 3600")];
const IDS = ["1", "2", "3"].map((digit) => digit.repeat(32));

async function startOurs(dir: TempDir) {
  const etcd = await Etcd.start({ dataDir: dir.join("etcd") });
  return { endpoint: etcd.clientUrls[0] ?? "", stop: async () => await etcd[Symbol.asyncDispose]() };
}

async function startUpstream() {
  const etcd = await startUpstreamEtcd({ version: "3.5", members: 1 });
  return { endpoint: etcd.endpoints[0] ?? "", stop: async () => await etcd[Symbol.asyncDispose]() };
}

describe.each([
  ["our etcd", startOurs],
  ["Debian's etcd 3.5", startUpstream],
] as const)("three machines on %s", (name, startEtcd) => {
  if (startEtcd === startUpstream && !upstream.ok) {
    it.skip(upstream.reason);
    return;
  }

  let dir: TempDir;
  let etcd: Awaited<ReturnType<typeof startOurs>>;
  let machines: TestMachine[];

  beforeAll(async () => {
    dir = await tempDir("fleetd");
    etcd = await startEtcd(dir);
    machines = IDS.map(
      (machineId, i) => new TestMachine({ name: `m${i + 1}`, machineId, etcdServers: [etcd.endpoint], dir }),
    );
    await Promise.all(machines.map((machine) => machine.start()));
    await eventually(
      async () =>
        (
          await client(0)
            .machines()
            .catch(() => [])
        ).length === 3,
      { timeoutMs: 20_000 },
    );
  });

  afterAll(async () => {
    await Promise.all(machines.map((machine) => machine[Symbol.asyncDispose]()));
    await etcd.stop();
    await dir[Symbol.asyncDispose]();
  });

  const client = (i: number): FleetClient => {
    const machine = machines[i];
    if (machine === undefined) throw new Error(`no machine ${i}`);
    return machine.client;
  };

  /** The unit's machine and main process once it runs there. */
  const running = (unit: string, from = 0, timeoutMs = 10_000) =>
    eventually(
      async () => {
        const entity = await client(from).unit(unit);
        if (entity?.currentState !== "launched") return undefined;
        const status = await client(from).status(unit);
        return status.activeState === "active" ? status : undefined;
      },
      { timeoutMs, what: `${unit} runs` },
    );

  it("a unit runs, and its journal and status can be read on every machine", async () => {
    const say = [option("Service", "ExecStart", "/bin/sh -c 'echo hello from %n; exec sleep 3600'")];
    await client(0).createUnit("say.service", say, "launched");
    await running("say.service");
    for (const i of [0, 1, 2]) {
      const lines: string[] = [];
      await eventually(async () => {
        lines.length = 0;
        for await (const line of client(i).journal("say.service", { lines: 10 })) lines.push(line);
        return lines.some((line) => line.includes("hello from say.service"));
      });
    }
    await client(1).destroyUnit("say.service");
    await eventually(async () => (await client(2).states({ unitName: "say.service" })).length === 0);
  });

  it("a restart of fleetd restarts no unit, by SIGTERM or SIGKILL", async () => {
    const names = [1, 2, 3, 4, 5, 6].map((i) => `keep@${i}.service`);
    for (const unit of names) await client(0).createUnit(unit, SLEEP, "launched");
    const before = await Promise.all(names.map((unit) => running(unit)));
    expect(new Set(before.map((status) => status.machineID))).toEqual(new Set(IDS));
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      for (const machine of machines) {
        const code = await machine.stopFleetd(signal);
        expect(code).toBe(signal === "SIGTERM" ? 0 : null);
        await machine.startFleetd();
      }
      await eventually(
        async () =>
          (
            await client(0)
              .machines()
              .catch(() => [])
          ).length === 3,
        { timeoutMs: 20_000 },
      );
      const after = await Promise.all(names.map((unit) => running(unit)));
      expect(after.map(({ machineID, mainPid }) => [machineID, mainPid])).toEqual(
        before.map(({ machineID, mainPid }) => [machineID, mainPid]),
      );
    }
    for (const unit of names) await client(0).destroyUnit(unit);
  });

  it("bad units are told clearly and hold up nothing", async () => {
    await expect(client(0).createUnit("bad.service", [option("Service", "ExecStart", "a\nb")])).rejects.toThrow("400");
    await client(0).createUnit("relative.service", [option("Service", "ExecStart", "not/absolute")], "launched");
    await client(0).createUnit("fine.service", SLEEP, "launched");
    await running("fine.service");
    for (const unit of ["relative.service", "fine.service"]) await client(0).destroyUnit(unit);
    await eventually(async () => (await client(0).states()).length === 0);
  });

  it("a machine loses power: its unit runs elsewhere within 10 s, and it comes back and joins", async () => {
    const names = ["a", "b", "c"].map((letter) => `power@${letter}.service`);
    const apart = [...SLEEP, option("X-Fleet", "Conflicts", "power@*.service")];
    await client(0).createUnit("power@a.service", SLEEP, "launched");
    for (const unit of names.slice(1)) await client(0).createUnit(unit, SLEEP, "launched");
    await client(0).createUnit("lonely.service", apart, "inactive");
    const before = await Promise.all(names.map((unit) => running(unit)));
    const victimId = before[1]?.machineID ?? "";
    const victim = IDS.indexOf(victimId);
    const other = victim === 0 ? 1 : 0;
    const startMs = performance.now();
    await machines[victim]?.kill();
    const moved = await eventually(
      async () => {
        const status = await running("power@b.service", other, 1_000);
        return status.machineID === victimId ? undefined : status;
      },
      { timeoutMs: 20_000 },
    );
    const tookMs = performance.now() - startMs;
    process.stdout.write(`power cut to running elsewhere, ${name}: ${tookMs.toFixed(0)} ms\n`);
    expect(tookMs).toBeLessThan(10_000);
    expect(moved.machineID).not.toBe(victimId);
    for (const i of [0, 2]) {
      const unit = names[i] ?? "";
      const now = await running(unit, other);
      expect([now.machineID, now.mainPid]).toEqual([before[i]?.machineID, before[i]?.mainPid]);
    }
    await machines[victim]?.start();
    await eventually(async () => (await client(other).machines()).length === 3, { timeoutMs: 20_000 });
    const stays = await running("power@b.service", other);
    expect([stays.machineID, stays.mainPid]).toEqual([moved.machineID, moved.mainPid]);
    for (const unit of [...names, "lonely.service"]) await client(other).destroyUnit(unit);
    await eventually(async () => (await client(other).states()).length === 0);
  });

  it("a second fleetd with the same machine id is refused with 503 until the first has gone", async () => {
    await using twin = new TestMachine({ name: "twin", machineId: IDS[0] ?? "", etcdServers: [etcd.endpoint], dir });
    await twin.start();
    await twin.fleetd.waitForLine(/machine id is taken/);
    await expect(twin.client.machines()).rejects.toThrow(
      "googleapi: Error 503: fleet server unable to communicate with etcd",
    );
    expect((await client(0).machines()).length).toBe(3);
  });

  it("SIGHUP reads the settings again; sockets, units and leases stay sound", async () => {
    const config = dir.join("fleet.conf");
    await writeFile(config, "metadata = color=red\n");
    const id = "5".repeat(32);
    const flags = ["--config", config, "--drain-on-stop"];
    await using extra = new TestMachine({ name: "hup", machineId: id, etcdServers: [etcd.endpoint], dir, flags });
    await extra.start();
    const unit = [...SLEEP, option("X-Fleet", "MachineID", id)];
    await client(0).createUnit("hup.service", unit, "launched");
    const before = await running("hup.service");
    const metadata = async () => (await client(0).machines()).find((machine) => machine.id === id)?.metadata;
    expect(await metadata()).toEqual({ color: "red" });
    await writeFile(config, "bogus = 1\n");
    extra.fleetd.kill("SIGHUP");
    await extra.fleetd.waitForLine(/nothing has changed/);
    await writeFile(config, "metadata = color=blue\n");
    extra.fleetd.kill("SIGHUP");
    await eventually(async () => (await metadata())?.["color"] === "blue");
    await extra.fleetd.waitForLine(/read its settings again/);
    const after = await running("hup.service");
    expect([after.mainPid, (await extra.client.machines()).length]).toEqual([before.mainPid, 4]);
    expect(await extra.stopFleetd()).toBe(0);
    await client(0).destroyUnit("hup.service");
  });

  it("with --drain-on-stop the units are stopped and the machine is gone at once", async () => {
    const id = "4".repeat(32);
    await using extra = new TestMachine({
      name: "extra",
      machineId: id,
      etcdServers: [etcd.endpoint],
      dir,
      flags: ["--drain-on-stop"],
    });
    await extra.start();
    await client(0).createUnit("there.service", [...SLEEP, option("X-Fleet", "MachineID", id)], "launched");
    const { mainPid } = await running("there.service");
    expect(await extra.stopFleetd()).toBe(0);
    expect((await client(0).machines()).length).toBe(3);
    expect(existsSync(`/proc/${mainPid}`)).toBe(false);
    await client(0).destroyUnit("there.service");
  });
});
