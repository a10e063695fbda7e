import { expect, it } from "vitest";
import type { Bench } from "./bench.ts";
import { machinesInFleet } from "./fleet-call.ts";

/** Programs that end, and networks that split. */
export function faultTests(bench: () => Bench): void {
  it("brings a killed program back, and keeps a stopped one away until it is started", async () => {
    const machine = bench().machine(1);
    await machine.killService("etcd");
    await bench().until("etcd back by itself", () => bench().hasQuorum(1));
    await machine.stopService("etcd");
    expect(await bench().isUp(1)).toBe(false);
    // It would have come back by now, had it only been killed.
    await machine.stopService("fleetd");
    await machine.exec("sleep 2");
    expect(await bench().isUp(1)).toBe(false);
    await expect(machinesInFleet(machine)).rejects.toThrow();
    await machine.startService("etcd");
    await machine.startService("fleetd");
    await bench().until("etcd as before", () => bench().hasQuorum(1));
    await bench().until("fleetd as before", async () => (await machinesInFleet(machine)).length === 3);
  });

  it("splits the network: the smaller side has no quorum, the larger goes on, the host reaches both", async () => {
    await bench().put(0, "contract/split", "before");
    await bench().provider.partition([["m1"], ["m2", "m3"]]);
    await bench().until("a quorum of two", () => bench().hasQuorum(1));
    await bench().put(2, "contract/split", "during");
    expect(await bench().hasQuorum(0)).toBe(false);
    expect(await bench().get(0, "contract/split", { serializable: true })).toBe("before");
    await bench().provider.heal();
    await bench().until("m1 with the others", () => bench().hasQuorum(0));
    expect(await bench().get(0, "contract/split")).toBe("during");
    await bench().provider.heal(); // healing a whole network changes nothing
    expect(await bench().hasQuorum(0)).toBe(true);
  });
}
