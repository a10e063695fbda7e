import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeSpecs } from "../src/spec.ts";
import { Bench, type MachineProviderHarness } from "./contract/bench.ts";
import { bootTests, HostService } from "./contract/boots.ts";
import { commandTests } from "./contract/commands.ts";
import { faultTests } from "./contract/faults.ts";
import { machinesInFleet } from "./contract/fleet-call.ts";
import { powerTests } from "./contract/power.ts";
import { stateTests } from "./contract/states.ts";

export type { MachineProviderHarness } from "./contract/bench.ts";

/** Ample for the slowest step of one test on machines at full speed. */
const TEST_MS = 90_000;

/**
 * Registers the contract of {@link MachineProvider} as vitest tests: one cluster of three machines goes through
 * everything that scenarios rely on. `slowness`: that of the providers the harness makes.
 */
export function machineProviderContract(name: string, slowness: number, harness: MachineProviderHarness): void {
  describe(`${name}: contract of MachineProvider`, { timeout: TEST_MS * slowness }, () => {
    const service = new HostService();
    let made: Bench | undefined;
    let before: readonly string[] = [];
    const bench = (): Bench => {
      if (made === undefined) throw new Error("the cluster did not start: see the first failure");
      return made;
    };

    beforeAll(async () => {
      before = await harness.leftovers();
      const provider = await harness.create({ hello: await service.listen() });
      try {
        made = new Bench(provider, await provider.start(makeSpecs("contract", 3)));
      } catch (error) {
        await provider[Symbol.asyncDispose]();
        throw error;
      }
    }, 600_000);

    afterAll(async () => {
      await made?.provider[Symbol.asyncDispose]();
      await service[Symbol.asyncDispose]();
    }, TEST_MS * slowness);

    it("starts machines that become one etcd cluster and one fleet", async () => {
      expect(bench().machines.map((m) => [m.spec, m.state])).toEqual(
        makeSpecs("contract", 3).map((spec) => [spec, "running"]),
      );
      const all = makeSpecs("contract", 3).map((spec) => spec.machineId);
      for (const [i, machine] of bench().machines.entries()) {
        await bench().until(`etcd of ${machine.spec.name} with a quorum`, () => bench().hasQuorum(i), 60);
        const isWhole = async () => (await machinesInFleet(machine)).join() === all.toSorted().join();
        await bench().until(`fleet as ${machine.spec.name} sees it`, isWhole, 60);
      }
      await bench().put(0, "contract/first", "1");
      expect(await bench().get(2, "contract/first")).toBe("1");
    });

    commandTests(bench);
    stateTests(bench, harness);
    faultTests(bench);
    powerTests(bench);
    bootTests(bench);

    it("leaves nothing when disposed of, and can be disposed of again", async () => {
      const { provider, machines } = bench();
      await provider[Symbol.asyncDispose]();
      await provider[Symbol.asyncDispose]();
      expect(machines.map((machine) => machine.state)).toEqual(["stopped", "stopped", "stopped"]);
      // Addresses of networks that are gone may be others' by now: only those of loopback are asked.
      for (const { etcdUrl } of machines.filter((machine) => machine.etcdUrl.startsWith("http://127.0.0.1:")))
        await expect(fetch(`${etcdUrl}/health`)).rejects.toThrow();
      expect(await harness.leftovers()).toEqual(before);
    });
  });
}
