import { randomUUID } from "node:crypto";
import { expect, it } from "vitest";
import { type Bench, processesWith } from "./bench.ts";
import { fleetCall, machinesInFleet } from "./fleet-call.ts";

/** A unit whose second process leaves its parent, session and process group. */
function unitWith(mark: string, machineId: string) {
  const loop = (name: string) => `: ${mark}-${name}; while :; do sleep 1; done`;
  return [
    {
      section: "Service",
      name: "ExecStart",
      value: `/bin/sh -c "(setsid sh -c '${loop("away")}' &); ${loop("main")}"`,
    },
    { section: "X-Fleet", name: "MachineID", value: machineId },
  ];
}

/** Machines that lose their power. */
export function powerTests(bench: () => Bench): void {
  it("ends everything on a machine at once, and starts it again on its disk", async () => {
    const { provider } = bench();
    const machine = bench().machine(2);
    const mark = `contract-${randomUUID()}`;
    const options = unitWith(mark, machine.spec.machineId);
    await fleetCall(machine, "PUT", "/units/contract.service", { desiredState: "launched", options });
    // What runs inside of a VM is not seen from here.
    const seen = provider.kind === "qemu" ? 0 : 3;
    const isActive = async () => {
      const { states = [] } = await fleetCall<{ states?: { systemdActiveState: string }[] }>(machine, "GET", "/state");
      return states.some((state) => state.systemdActiveState === "active");
    };
    await bench().until("the unit", isActive);
    await machine.exec(`(setsid sh -c ': ${mark}-command; while :; do sleep 1; done' >/dev/null 2>&1 &)`);
    await bench().until("its processes and that of a command", async () => (await processesWith(`: ${mark}-`)) >= seen);
    const file = `${bench().diskDirectory}/contract-disk`;
    await machine.exec(`echo kept >${file}; sync ${file}`);
    await bench().put(2, "contract/power", mark);

    const before = await machine.bootId();
    const cut = await machine.powerCut();
    expect(cut.lostWrites + cut.tornWrites).toBeLessThanOrEqual(cut.unflushedWrites);
    expect(cut.unflushedWrites > 0 && !provider.supports.volatileCache).toBe(false);
    expect(machine.state).toBe("stopped");
    expect(await processesWith(mark)).toBe(0);
    expect(await bench().isUp(2)).toBe(false);
    await expect(machine.exec("true")).rejects.toThrow(/m3: it is stopped, not running/);
    await expect(machine.pause()).rejects.toThrow(/m3: it is stopped, not running/);
    await expect(machine.stopService("etcd")).rejects.toThrow(/m3: it is stopped, not running/);
    await machine.kill(); // killing what is dead changes nothing
    expect(await machine.logs("etcd")).toContain("etcd");
    await bench().until("a quorum of the others", () => bench().hasQuorum(0));

    await machine.restart();
    expect(machine.state).toBe("running");
    expect(await machine.bootId()).not.toBe(before);
    await bench().until("m3 with a quorum", () => bench().hasQuorum(2));
    expect(await bench().get(2, "contract/power", { serializable: true })).toBe(mark);
    expect((await machine.exec(`cat ${file}`)).stdout).toBe("kept\n");
    await bench().until("m3 in fleet", async () => (await machinesInFleet(machine)).length === 3);
    await fleetCall(machine, "DELETE", "/units/contract.service");
    await bench().until("no unit", async () => (await processesWith(mark)) === 0);
  });
}
