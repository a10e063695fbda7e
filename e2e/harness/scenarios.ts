import { waitFor } from "@keelson/cluster";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { TestCluster } from "./cluster.ts";
import { type Kind, whyNot } from "./kinds.ts";
import { markedUnit, quietUnit, readMarks } from "./units.ts";

/** How long fleet may take to run a dead machine's unit elsewhere: the limits. */
const FAILOVER_MS: Record<Kind, number> = { process: 10_000, container: 10_000, qemu: 25_000 };

/** How often the steady unit leaves a mark: each costs two processes, which under emulation is not nothing. */
const TICK_S: Record<Kind, number> = { process: 1, container: 1, qemu: 5 };

/** The scenarios every kind of machine must pass alike. */
export function clusterScenarios(kind: Kind): void {
  const reason = whyNot(kind);
  if (reason !== undefined) process.stdout.write(`skipped: machines of kind ${kind}: ${reason}\n`);

  describe.skipIf(reason !== undefined)(`three machines (${kind})`, () => {
    let cluster: TestCluster;
    beforeAll(async () => {
      cluster = await TestCluster.start(kind);
    });
    afterAll(async () => {
      await cluster?.[Symbol.asyncDispose]();
    });
    afterEach(async ({ task }) => {
      if (task.result?.state === "fail")
        await cluster.keepEvidence(task.name.replaceAll(/[^a-z0-9]+/gi, "-").slice(0, 60));
    });

    /** Waits until the unit runs once, and nowhere else, and tells where. */
    const homeOf = async (unit: string, timeoutMs?: number) => {
      const one = (all: readonly { unit: string; active: string }[]) => {
        const rows = all.filter((row) => row.unit === unit);
        return rows.length === 1 && rows[0]?.active === "active";
      };
      const rows = await cluster.waitForUnits(`${unit} runs once`, one, timeoutMs);
      return rows.find((row) => row.unit === unit)?.machine ?? "";
    };

    it("list each other, each asked in turn", async () => {
      for (const machine of cluster.machines) {
        const rows = await cluster.fleetctl(["list-machines", "--no-legend"], machine);
        expect(rows.trim().split("\n")).toHaveLength(3);
      }
    });

    it("place conflicts apart, globals everywhere, metadata and MachineOf where they must", async () => {
      const files = await Promise.all([
        cluster.unitFile("apart@.service", quietUnit(["Conflicts=apart@*.service"])),
        cluster.unitFile("everywhere.service", quietUnit(["Global=true"])),
        cluster.unitFile("on-hdd.service", quietUnit(["MachineMetadata=disk=hdd"])),
        cluster.unitFile("with-hdd.service", quietUnit(["MachineOf=on-hdd.service"])),
      ]);
      const [apart, ...rest] = files;
      const instances = ["1", "2", "3"].map((i) => apart.replace("@.", `@${i}.`));
      await cluster.fleetctl(["start", "--no-block", ...instances, ...rest]);
      const rows = await cluster.waitForUnits(
        "eight units run",
        (all) => all.length === 8 && all.every((row) => row.active === "active"),
        20_000,
      );
      const where = (unit: string) => rows.filter((row) => row.unit === unit).map((row) => row.machine);
      expect(["1", "2", "3"].flatMap((i) => where(`apart@${i}.service`)).sort()).toEqual(["m1", "m2", "m3"]);
      expect(where("everywhere.service").sort()).toEqual(["m1", "m2", "m3"]);
      expect(where("on-hdd.service")).toEqual(["m2"]);
      expect(where("with-hdd.service")).toEqual(["m2"]);
      await cluster.fleetctl([
        "destroy",
        ...["1", "2", "3"].map((i) => `apart@${i}.service`),
        "everywhere.service",
        "on-hdd.service",
        "with-hdd.service",
      ]);
      await cluster.waitForUnits("no unit is left", (all) => all.length === 0);
    });

    it("a unit waits, and says why, when no machine will do", async () => {
      await cluster.fleetctl([
        "start",
        "--no-block",
        await cluster.unitFile("nowhere.service", quietUnit(["MachineMetadata=disk=tape"])),
      ]);
      await waitFor(
        "the reason is known",
        async () => (await cluster.why("nowhere.service")).includes("local Machine metadata insufficient"),
        { timeoutMs: 10_000 * cluster.provider.slowness },
      );
      await cluster.fleetctl(["destroy", "nowhere.service"]);
    });

    it("a restart of fleetd restarts no unit", async () => {
      await cluster.fleetctl(["start", await cluster.unitFile("steady.service", markedUnit(TICK_S[kind]))]);
      const home = cluster.machine(await homeOf("steady.service"));
      // Killed, it must be back within its lease; under emulation it starts more slowly than that, and its units rightly move.
      if (kind !== "qemu") await home.killService("fleetd");
      await home.stopService("fleetd");
      await home.startService("fleetd");
      await cluster.waitForMachines(["m1", "m2", "m3"]);
      expect(await homeOf("steady.service")).toBe(home.spec.name);
      const marks = readMarks(await cluster.journal("steady.service"));
      expect(marks).toMatchObject({ starts: 1, stops: 0 });
    });

    it("the unit of a killed machine runs elsewhere in time; the machine comes back and rejoins", async () => {
      const home = cluster.machine(await homeOf("steady.service"));
      const killedMs = performance.now();
      await home.kill();
      await cluster.waitForUnits(
        "steady runs elsewhere",
        (all) => all.some((r) => r.unit === "steady.service" && r.machine !== home.spec.name && r.active === "active"),
        FAILOVER_MS[kind],
      );
      const tookMs = performance.now() - killedMs;
      process.stdout.write(
        `${kind}: the unit of a killed machine ran elsewhere after ${(tookMs / 1000).toFixed(1)} s (limit ${FAILOVER_MS[kind] / 1000} s)\n`,
      );
      await home.restart();
      await cluster.waitForMachines(["m1", "m2", "m3"], 120_000);
      expect(tookMs).toBeLessThan(FAILOVER_MS[kind]);
      expect(await homeOf("steady.service")).not.toBe(home.spec.name);
    });

    it("a machine that was cut off keeps its unit until it is back, and then there is one again", async () => {
      const cut = await homeOf("steady.service");
      const rest = cluster.machines.filter((m) => m.spec.name !== cut);
      await cluster.provider.partition([[cut], rest.map((m) => m.spec.name)]);
      await waitFor(
        "steady runs on the majority's side",
        async () =>
          (await cluster.units(rest[0])).some(
            (r) => r.unit === "steady.service" && r.machine !== cut && r.active === "active",
          ),
        { timeoutMs: FAILOVER_MS[kind] * 2, everyMs: 200 },
      );
      await cluster.provider.heal();
      await cluster.waitForMachines(["m1", "m2", "m3"], 120_000);
      expect(await homeOf("steady.service")).not.toBe(cut);
      await cluster.fleetctl(["destroy", "steady.service"]);
    });

    // The last: an engine that comes back from an outage trusts no absence of a machine for a while, on purpose.
    it("etcd without quorum for 30 s stops no unit", async () => {
      const [, second, third] = cluster.machines;
      if (second === undefined || third === undefined) throw new Error("three machines were asked for");
      const lost = [second, third];
      await cluster.fleetctl(["start", await cluster.unitFile("lasting.service", markedUnit(TICK_S[kind]))]);
      const home = await homeOf("lasting.service");
      await Promise.all(lost.map((machine) => machine.stopService("etcd")));
      const endMs = performance.now() + 30_000;
      await waitFor("30 s", () => performance.now() > endMs, { timeoutMs: 60_000, everyMs: 500 });
      await Promise.all(lost.map((machine) => machine.startService("etcd")));
      await cluster.waitForMachines(["m1", "m2", "m3"], 30_000);
      expect(await homeOf("lasting.service")).toBe(home);
      const marks = readMarks(await cluster.journal("lasting.service"));
      expect(marks).toMatchObject({ starts: 1, stops: 0 });
      expect(marks.longestGapS).toBeLessThanOrEqual(TICK_S[kind] + 4 * Math.min(cluster.provider.slowness, 3));
    });
  });
}
