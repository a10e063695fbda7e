import { describe, expect, it } from "vitest";
import { optionsOf } from "./testing/fake-unit-manager.ts";
import { SimFleet } from "./testing/sim-fleet.ts";

/** Three machines with engine and agent each, all registered. */
async function three(): Promise<SimFleet> {
  const fleet = new SimFleet();
  for (const id of ["m1", "m2", "m3"]) fleet.add(id);
  await fleet.until("three machines are registered", () => fleet.machines.every((m) => m.agent.problem === undefined));
  return fleet;
}

const machineOf = (fleet: SimFleet, name: string) => {
  const found = fleet.machines.find((machine) => machine.id === fleet.hosts(name)[0]);
  if (found === undefined) throw new Error(`${name} runs nowhere`);
  return found;
};

describe("a unit's way", () => {
  it("is loaded, started, stopped, unloaded and destroyed", async () => {
    await using fleet = await three();
    await fleet.submit("a.service", "", "inactive");
    await fleet.run(1_000);
    expect(fleet.machines.flatMap((m) => m.manager.calls)).toEqual([]);
    await fleet.setDesired("a.service", "loaded");
    const calls = () => fleet.machines.flatMap((m) => m.manager.calls);
    await fleet.until("loaded", () => calls().includes("load a.service"));
    await fleet.setDesired("a.service", "launched");
    await fleet.until("runs", () => fleet.hosts("a.service").length === 1);
    await fleet.setDesired("a.service", "loaded");
    await fleet.until("stopped", () => fleet.hosts("a.service").length === 0);
    await fleet.setDesired("a.service", "inactive");
    await fleet.until("unloaded", () => calls().includes("unload a.service"));
    expect(calls()).toEqual([
      "load a.service",
      "start a.service",
      "stop a.service",
      "stop a.service",
      "unload a.service",
    ]);
    await fleet.destroy("a.service");
    await fleet.run(1_000);
    expect(fleet.keys().filter((key) => !/\/(machines|lease)\//.test(key))).toEqual([]);
  });

  it("a new text stops the old and starts the new", async () => {
    await using fleet = await three();
    await fleet.submit("a.service");
    await fleet.until("runs", () => fleet.hosts("a.service").length === 1);
    const { manager } = machineOf(fleet, "a.service");
    const before = manager.pid("a.service");
    await fleet.submit("a.service", "[Unit]\nDescription=new");
    await fleet.until("runs anew", () => (manager.pid("a.service") ?? before) !== before);
    expect(manager.calls).toEqual([
      "load a.service",
      "start a.service",
      "stop a.service",
      "load a.service",
      "start a.service",
    ]);
    await fleet.run(1_000);
    expect(fleet.keys().filter((key) => key.includes("/unit/"))).toHaveLength(1);
  });

  it("a bad unit holds up no other", async () => {
    await using fleet = await three();
    const pin = "[X-Fleet]\nMachineID=m1";
    await fleet.submit("bad.service", `BadFile=1\n${pin}`);
    await fleet.submit("reject.service", `ExecStart=reject\n${pin}`);
    await fleet.submit("hang.service", `ExecStart=hang\n${pin}`);
    await fleet.submit("fail.service", `ExecStart=fail\n${pin}`);
    for (let i = 0; i < 5; i++) await fleet.submit(`good${i}.service`, pin);
    const tookMs = await fleet.until("the good run", () => fleet.where()["m1"]?.length === 5);
    expect(tookMs).toBeLessThan(1_000);
    await fleet.setDesired("hang.service", "loaded");
    const { calls } = machineOf(fleet, "good0.service").manager;
    await fleet.until("a start that hangs can be given up", () => calls.includes("stop hang.service"));
    await fleet.submit("bad.service", pin);
    const repairedMs = await fleet.until("a repaired unit runs", () => fleet.hosts("bad.service").length === 1);
    expect(repairedMs).toBeLessThan(2_000);
  });

  it("says in the registry why a unit waits, and no longer when it does not", async () => {
    await using fleet = await three();
    await fleet.submit("gpu.service", "[X-Fleet]\nMachineMetadata=gpu=yes");
    const why = () => fleet.etcd.read("/_coreos.com/fleet/job/gpu.service/why").entries[0]?.value;
    await fleet.until("a reason", () => why() !== undefined);
    expect(why()).toBe(
      "no agents able to run job: " +
        ["m1", "m2", "m3"].map((id) => `${id}: local Machine metadata insufficient`).join("; "),
    );
    fleet.add("m4", { metadata: { gpu: "yes" } });
    await fleet.until("it runs", () => fleet.hosts("gpu.service").length === 1);
    expect(why()).toBeUndefined();
  });
});

describe("A7 functional cases", () => {
  it("move-min: a dead machine's unit, and only it, runs elsewhere within 10 s, once", async () => {
    await using fleet = await three();
    fleet.add("m4");
    await fleet.run(100);
    for (const i of [1, 2, 3]) await fleet.submit(`c@${i}.service`, "[X-Fleet]\nConflicts=c@*.service");
    await fleet.until("three run", () => [1, 2, 3].every((i) => fleet.hosts(`c@${i}.service`).length === 1));
    const victim = machineOf(fleet, "c@2.service");
    const others = [1, 3].map((i) => machineOf(fleet, `c@${i}.service`).manager.pid(`c@${i}.service`));
    victim.kill();
    const tookMs = await fleet.until("moved", () => fleet.hosts("c@2.service").length === 1);
    expect(tookMs).toBeLessThan(6_000);
    expect([1, 3].map((i) => machineOf(fleet, `c@${i}.service`).manager.pid(`c@${i}.service`))).toEqual(others);
  });

  it("reboot-min: a machine that comes back empty gets no unit back and moves none", async () => {
    await using fleet = await three();
    for (const i of [1, 2, 3]) await fleet.submit(`u${i}.service`);
    await fleet.until("three run", () => [1, 2, 3].every((i) => fleet.hosts(`u${i}.service`).length === 1));
    const victim = machineOf(fleet, "u2.service");
    victim.kill();
    await fleet.until("moved", () => fleet.hosts("u2.service").length === 1);
    const before = fleet.where();
    victim.startFleetd();
    await fleet.until("back", () => victim.agent.problem === undefined);
    await fleet.run(10_000);
    expect(fleet.where()).toEqual(before);
  });

  it("a quick reboot: the units start again where they were", async () => {
    await using fleet = await three();
    await fleet.submit("a.service");
    await fleet.until("runs", () => fleet.hosts("a.service").length === 1);
    const machine = machineOf(fleet, "a.service");
    machine.kill();
    await fleet.run(500);
    machine.startFleetd();
    await fleet.until("runs again", () => fleet.hosts("a.service").length === 1);
    expect(fleet.hosts("a.service")).toEqual([machine.id]);
  });

  it("peers: a pair moves together", async () => {
    await using fleet = await three();
    for (const i of [0, 1, 2]) {
      await fleet.submit(`pong.${i}.service`, `[X-Fleet]\nMachineOf=ping.${i}.service`);
      await fleet.submit(`ping.${i}.service`);
    }
    const all = [0, 1, 2].flatMap((i) => [`ping.${i}.service`, `pong.${i}.service`]);
    await fleet.until("six run", () => all.every((name) => fleet.hosts(name).length === 1));
    const machine = machineOf(fleet, "ping.1.service");
    machine.kill();
    await fleet.until("six run again", () => all.every((name) => fleet.hosts(name).length === 1));
    for (const i of [0, 1, 2]) expect(fleet.hosts(`pong.${i}.service`)).toEqual(fleet.hosts(`ping.${i}.service`));
  });

  it("conflicts: three of five run, the others when a place becomes free", async () => {
    await using fleet = await three();
    const names = [0, 1, 2, 3, 4].map((i) => `conflict.${i}.service`);
    for (const name of names) await fleet.submit(name, "[X-Fleet]\nConflicts=conflict.*.service");
    await fleet.until("three run", () => names.filter((name) => fleet.hosts(name).length === 1).length === 3);
    expect(Object.values(fleet.where()).map((units) => units.length)).toEqual([1, 1, 1]);
    await fleet.destroy("conflict.0.service");
    await fleet.until("the fourth runs", () => fleet.hosts("conflict.3.service").length === 1);
  });

  it("replaces: the newcomer drives the other to another machine", async () => {
    await using fleet = new SimFleet();
    fleet.add("m1");
    fleet.add("m2");
    await fleet.run(100);
    await fleet.submit("replace.0.service");
    await fleet.until("on m1", () => fleet.hosts("replace.0.service")[0] === "m1");
    await fleet.submit("replace.1.service");
    await fleet.submit("replace.2.service", "[X-Fleet]\nMachineOf=replace.1.service");
    await fleet.until("on m2", () => fleet.hosts("replace.2.service")[0] === "m2");
    await fleet.submit("replace-kick0.service", "[X-Fleet]\nReplaces=replace.0.service");
    await fleet.until("driven off", () => fleet.hosts("replace.0.service")[0] === "m2");
    expect(fleet.where()).toEqual({
      m1: ["replace-kick0.service"],
      m2: ["replace.0.service", "replace.1.service", "replace.2.service"],
    });
  });

  it("global: on every machine, also on one that joins later; a second one that conflicts nowhere", async () => {
    await using fleet = await three();
    await fleet.submit("hello.service");
    await fleet.submit("g.service", "[X-Fleet]\nGlobal=true");
    await fleet.submit("g2.service", "[X-Fleet]\nGlobal=true\nConflicts=g.service");
    await fleet.until("three copies", () => fleet.hosts("g.service").length === 3);
    fleet.add("m4");
    await fleet.until("four copies", () => fleet.hosts("g.service").length === 4);
    expect(fleet.hosts("g2.service")).toEqual([]);
    await fleet.setDesired("g.service", "inactive");
    await fleet.until("the other has room", () => fleet.hosts("g2.service").length === 4);
  });

  it("dup-id: the second machine with an id is refused, runs nothing, and joins when the first is gone", async () => {
    await using fleet = await three();
    await fleet.submit("a.service", "[X-Fleet]\nMachineID=m1");
    await fleet.until("runs", () => fleet.hosts("a.service").length === 1);
    const twin = fleet.add("m1", { instance: "the other" });
    await fleet.run(20_000);
    expect(twin.agent.problem).toBe("another fleetd is registered with machine id m1");
    expect(twin.manager.calls).toEqual([]);
    fleet.machines[0]?.kill();
    await fleet.until("the twin takes over", () => twin.manager.running().includes("a.service"), 120_000);
  });

  it("node-stop: with draining, units are stopped and the machine is gone at once", async () => {
    await using fleet = await three();
    await fleet.submit("a.service");
    await fleet.until("runs", () => fleet.hosts("a.service").length === 1);
    const machine = machineOf(fleet, "a.service");
    await fleet.drive(machine.stopFleetd({ drain: true }));
    expect(machine.manager.running()).toEqual([]);
    const tookMs = await fleet.until("elsewhere", () => fleet.hosts("a.service").length === 1);
    expect(tookMs).toBeLessThan(6_000);
  });
});

describe("what does not stop a unit", () => {
  it.each(["SIGTERM", "SIGKILL"])("a restart of fleetd by %s", async (how) => {
    await using fleet = await three();
    const names = [1, 2, 3, 4, 5, 6].map((i) => `u${i}.service`);
    for (const name of names) await fleet.submit(name);
    await fleet.submit("g.service", "[X-Fleet]\nGlobal=yes");
    await fleet.submit("once.service");
    const all = [...names, "once.service"];
    await fleet.until("all run", () => all.every((name) => fleet.hosts(name).length === 1));
    await fleet.until("all run", () => fleet.hosts("g.service").length === 3);
    const machine = machineOf(fleet, "once.service");
    machine.manager.crash("once.service");
    const before = fleet.machines.map((m) => m.manager.calls.length);
    if (how === "SIGTERM") {
      await fleet.drive(machine.stopFleetd());
      await fleet.run(15_000);
    } else machine.killFleetd();
    await fleet.run(1_000);
    machine.startFleetd();
    await fleet.until("registered", () => machine.agent.problem === undefined);
    await fleet.run(60_000);
    expect(fleet.machines.map((m) => m.manager.calls.length)).toEqual(before);
  });

  it("the store being away for 30 s", async () => {
    await using fleet = await three();
    for (let i = 0; i < 6; i++) await fleet.submit(`u${i}.service`);
    await fleet.submit("g.service", "[X-Fleet]\nGlobal=yes");
    await fleet.until("all run", () => Object.values(fleet.where()).every((units) => units.length === 3));
    const before = fleet.machines.map((m) => m.manager.calls.length);
    fleet.etcd.down();
    await fleet.run(30_000);
    fleet.etcd.up();
    await fleet.until("all back", () => fleet.machines.every((m) => m.agent.problem === undefined));
    await fleet.run(60_000);
    expect(fleet.machines.map((m) => m.manager.calls.length)).toEqual(before);
    await fleet.submit("later.service");
    await fleet.until("and it works", () => fleet.hosts("later.service").length === 1);
  });

  it("a partition of its machine: the copy elsewhere stays, the old one is stopped on return, globals stay", async () => {
    await using fleet = await three();
    await fleet.submit("a.service");
    await fleet.submit("g.service", "[X-Fleet]\nGlobal=yes");
    await fleet.until("runs", () => fleet.hosts("a.service").length === 1 && fleet.hosts("g.service").length === 3);
    const lonely = machineOf(fleet, "a.service");
    const pid = lonely.manager.pid("g.service");
    lonely.store.setConnected(false);
    await fleet.until("a second copy", () => fleet.hosts("a.service").length === 2);
    expect(lonely.manager.running()).toContain("a.service");
    lonely.store.setConnected(true);
    await fleet.until("one copy", () => fleet.hosts("a.service").length === 1);
    expect(fleet.hosts("a.service")).not.toContain(lonely.id);
    await fleet.run(10_000);
    expect(lonely.manager.pid("g.service")).toBe(pid);
    expect(lonely.agent.problem).toBeUndefined();
  });
});

describe("the engine", () => {
  it("another one takes over when the leader dies, also with the agent of the unit's machine", async () => {
    await using fleet = await three();
    await fleet.submit("a.service");
    await fleet.until("runs", () => fleet.hosts("a.service").length === 1);
    const leader = fleet.machines.find((m) => m.engine.isLeader);
    machineOf(fleet, "a.service").kill();
    leader?.kill();
    const tookMs = await fleet.until("moved", () => fleet.hosts("a.service").length === 1);
    expect(tookMs).toBeLessThan(6_000);
    expect(fleet.machines.filter((m) => m.engine.isLeader && m.store.isConnected)).toHaveLength(1);
  });

  it("a deposed engine changes nothing", async () => {
    await using fleet = await three();
    await fleet.until("one leads", () => fleet.machines.some((m) => m.engine.isLeader));
    const old = fleet.machines.find((m) => m.engine.isLeader);
    // The election key goes away behind the engine's back; it still believes that it leads.
    const key = fleet.keys().filter((one) => one.includes("engine-leader"));
    for (const machine of fleet.machines) if (machine !== old) machine.killFleetd();
    const { revision } = fleet.etcd.commit(
      [],
      key.map((one) => ({ type: "delete", key: one })),
    );
    expect(old?.engine.isLeader).toBe(true);
    await fleet.submit("a.service");
    await fleet.until("it notices", () => old?.engine.isLeader === false);
    expect(
      fleet.etcd
        .read("/_coreos.com/fleet/job/a.service/target")
        .entries.filter((e) => e.key.endsWith("/target") && e.createRevision <= revision + 1),
    ).toEqual([]);
    await fleet.until("it is elected again and goes on", () => fleet.hosts("a.service").length === 1);
  });
});

it("an engine that decided on a unit which is destroyed meanwhile leaves no key of it behind", async () => {
  await using fleet = new SimFleet();
  const machine = fleet.add("m1");
  await fleet.until("it leads", () => machine.engine.isLeader);
  for (let i = 0; i < 40; i++) {
    await fleet.submit("a.service");
    // The engine acts some milliseconds later: a little more time each round meets every moment of it.
    await fleet.run(i / 2);
    await fleet.destroy("a.service");
    await fleet.run(500);
    expect(
      fleet.keys().filter((key) => !/\/(machines|lease)\//.test(key)),
      `after ${i / 2} ms`,
    ).toEqual([]);
    expect(machine.manager.loaded()).toEqual([]);
  }
});

describe("the store's load", () => {
  it("at rest nothing is written, and one lease a machine and one for each engine are kept alive", async () => {
    await using fleet = await three();
    for (let i = 0; i < 30; i++) await fleet.submit(`u${i}.service`);
    await fleet.submit("never.service", "[X-Fleet]\nMachineID=none");
    await fleet.until("all run", () => Object.values(fleet.where()).flat().length === 30);
    await fleet.run(5_000);
    const { writes, keepAlives } = fleet.etcd;
    await fleet.run(60_000);
    expect(fleet.etcd.writes - writes).toBe(0);
    // Six leases of 4 s, each kept alive three times in its time.
    expect(fleet.etcd.keepAlives - keepAlives).toBeLessThanOrEqual(6 * 46);
  });

  it("1000 destroys leave no key", async () => {
    await using fleet = await three();
    const names = Array.from({ length: 1_000 }, (_, i) => `u${i}.service`);
    await fleet.drive(
      Promise.all(
        names.map((name, i) => fleet.writer.putUnit(name, optionsOf(`[Unit]\nDescription=${i % 10}`), "launched")),
      ),
    );
    await fleet.run(2_000);
    expect(Object.values(fleet.where()).flat()).toHaveLength(1_000);
    expect(fleet.keys().filter((key) => key.includes("/unit/"))).toHaveLength(10);
    await fleet.drive(Promise.all(names.map((name) => fleet.writer.destroyUnit(name))));
    await fleet.run(2_000);
    expect(Object.values(fleet.where()).flat()).toEqual([]);
    expect(fleet.keys().filter((key) => !/\/(machines|lease)\//.test(key))).toEqual([]);
  });

  it("the watch starts anew when its past was compacted", async () => {
    await using fleet = await three();
    const [first] = fleet.machines;
    first?.store.setConnected(false);
    await fleet.submit("a.service", "", "inactive");
    await fleet.submit("b.service", "", "inactive");
    fleet.etcd.compact();
    first?.store.setConnected(true);
    await fleet.until("it sees both", () => first?.registry.view.unitCount === 2);
  });
});
