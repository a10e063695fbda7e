import { setTimeout as sleep } from "node:timers/promises";
import { EtcdClient } from "@keelson/etcd-client";
import { SystemClock } from "@keelson/log";
import { eventually, tempDir } from "@keelson/testkit";
import { silentLogger } from "@keelson/types";
import { parseOptions } from "@keelson/unit";
import { expect, it } from "vitest";
import { MemoryAgentMemory } from "../src/agent/record.ts";
import { FleetClient } from "../src/client/client.ts";
import { Fleetd } from "../src/fleetd.ts";
import { EtcdFleetStore } from "../src/store/etcd-store.ts";
import { FakeUnitManager } from "../src/testing/fake-unit-manager.ts";
import { upstreamMissing } from "./etcds.ts";
import { startTrio } from "./trio.ts";

const OUTAGE_MS = 15_000;
const QUIET_MS = 10_000;
const clock = new SystemClock();

it.each([
  ["our etcd", "ours"],
  ["Debian's etcd 3.5", "upstream"],
] as const)(
  "on three members of %s: nothing is written at rest, and a loss of quorum stops no unit",
  async (name, kind) => {
    if (kind === "upstream" && upstreamMissing !== undefined) {
      process.stdout.write(`not run on ${name}: ${upstreamMissing}\n`);
      return;
    }
    await using dir = await tempDir("fleet-quorum");
    await using trio = await startTrio(kind, dir);
    const machines = await Promise.all(
      [0, 1, 2].map(async (i) => {
        // Each machine asks its own member first, as in a real cluster.
        const endpoints = [0, 1, 2].map((k) => trio.endpoints[(i + k) % 3] ?? "");
        const store = new EtcdFleetStore(new EtcdClient({ endpoints }));
        const manager = new FakeUnitManager(clock);
        const fleetd = await Fleetd.start({
          store,
          manager,
          memory: new MemoryAgentMemory(`i${i}`),
          clock,
          logger: silentLogger,
          machine: { id: `m${i}` },
          listen: ["http://127.0.0.1:0"],
        });
        return { store, manager, fleetd };
      }),
    );
    const registered = () => machines.every(({ fleetd }) => fleetd.agent.problem === undefined);
    const calls = () => machines.map(({ manager }) => manager.calls.length);
    const client = new FleetClient({ endpoint: machines[0]?.fleetd.urls[0] ?? "" });
    const launch = (unit: string, fleet = "") =>
      client.createUnit(unit, parseOptions(`[Service]\nExecStart=run\n[X-Fleet]\n${fleet}\n`), "launched");
    const running = () => machines.flatMap(({ manager }) => manager.running());
    try {
      await eventually(registered, { timeoutMs: 30_000, what: "all are registered" });
      for (let i = 0; i < 9; i++) await launch(`u${i}.service`);
      await launch("g.service", "Global=true");
      await launch("never.service", "MachineID=none");
      await eventually(() => running().length === 12, { what: "all run" });
      await sleep(1_000);

      const admin = new EtcdClient({ endpoints: trio.endpoints });
      const before = (await admin.range("/")).revision;
      await sleep(QUIET_MS);
      expect((await admin.range("/")).revision, "revisions written at rest").toBe(before);
      admin.close();

      const callsBefore = calls();
      await Promise.all([trio.stop(1), trio.stop(2)]);
      await eventually(() => machines.every(({ fleetd }) => fleetd.agent.problem !== undefined), { timeoutMs: 20_000 });
      await sleep(OUTAGE_MS);
      const units = await client.units();
      expect(units).toHaveLength(11);
      await Promise.all([trio.start(1), trio.start(2)]);
      const startMs = performance.now();
      await eventually(registered, { timeoutMs: 30_000, what: "all are registered again" });
      process.stdout.write(
        `${name}: back in the cluster ${(performance.now() - startMs).toFixed(0)} ms after quorum\n`,
      );
      await sleep(10_000);
      expect(calls(), "units touched").toEqual(callsBefore);
      await launch("later.service");
      await eventually(() => running().includes("later.service"), { what: "it works again" });
    } finally {
      for (const { fleetd, store } of machines) {
        await fleetd.stop({ drain: true });
        await store[Symbol.asyncDispose]();
      }
    }
  },
);
