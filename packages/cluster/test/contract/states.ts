import { expect, it } from "vitest";
import { ClusterError, MachineStateError } from "../../src/errors.ts";
import { makeSpecs } from "../../src/spec.ts";
import type { Bench, MachineProviderHarness } from "./bench.ts";

/** What is refused, and that a refusal changes nothing. */
export function stateTests(bench: () => Bench, harness: MachineProviderHarness): void {
  it("refuses specs that make no cluster, before anything is started", async () => {
    await using provider = await harness.create();
    const [first] = makeSpecs("contract", 1);
    if (first === undefined) throw new Error("no spec");
    const there = await harness.leftovers();
    await expect(provider.start([first, first])).rejects.toThrow(ClusterError);
    await expect(provider.start([{ ...first, name: "../m1" }])).rejects.toThrow(/machine name "..\/m1" is not/);
    expect(await harness.leftovers()).toEqual(there);
  });

  it("refuses to start twice", async () => {
    await expect(bench().provider.start(makeSpecs("again", 1))).rejects.toThrow("has started its machines already");
  });

  it("refuses partitions of machines that are not there or on two sides", async () => {
    await expect(bench().provider.partition([["m1"], ["m9"]])).rejects.toThrow("there is no machine m9");
    await expect(bench().provider.partition([["m1"], ["m1"]])).rejects.toThrow("m1 is in two groups");
    for (const i of [0, 1, 2]) expect(await bench().hasQuorum(i)).toBe(true);
  });

  it("refuses what does not fit a machine's state", async () => {
    const machine = bench().machine(0);
    await expect(machine.resume()).rejects.toThrow(MachineStateError);
    await expect(machine.restart()).rejects.toThrow(/m1: it is running, not stopped/);
    expect(machine.state).toBe("running");
  });

  it("freezes a machine and lets it go on, while the others go on", async () => {
    const machine = bench().machine(2);
    await machine.pause();
    expect(machine.state).toBe("paused");
    await expect(machine.exec("true")).rejects.toThrow(/m3: it is paused, not running/);
    await expect(machine.pause()).rejects.toThrow(MachineStateError);
    await expect(machine.killService("etcd")).rejects.toThrow(MachineStateError);
    expect(await bench().isUp(2)).toBe(false);
    await bench().until("a quorum of the others", () => bench().hasQuorum(0));
    await machine.resume();
    expect(machine.state).toBe("running");
    await bench().until("m3 with a quorum", () => bench().hasQuorum(2));
  });
}
