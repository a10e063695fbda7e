import { type Prng, type Trace, withSeeds } from "@keelson/testkit";
import { expect, it } from "vitest";
import { globalsOn, reconcile } from "./core/reconcile.ts";
import { Keys } from "./registry/keys.ts";
import { RegistryView } from "./registry/view.ts";
import { SimFleet } from "./testing/sim-fleet.ts";

const NAMES = Array.from({ length: 8 }, (_, i) => `u${i}.service`);
const IDS = ["m1", "m2", "m3", "m4"];
const SEEDS = 60;

const FLEET_LINES = [
  () => "",
  () => "",
  (rng: Prng) => `Conflicts=u${rng.below(8)}.service`,
  () => "Conflicts=u*.service",
  (rng: Prng) => `MachineOf=u${rng.below(8)}.service`,
  (rng: Prng) => `MachineID=m${1 + rng.below(5)}`,
  (rng: Prng) => `MachineMetadata=rack=${rng.below(3)}`,
  (rng: Prng) => `Replaces=u${rng.below(8)}.service`,
  () => "Global=true",
  () => "Global=true\nConflicts=u1.service",
];

class Chaos {
  readonly fleet = new SimFleet();
  readonly #rng: Prng;
  readonly #trace: Trace;

  constructor(rng: Prng, trace: Trace) {
    this.#rng = rng;
    this.#trace = trace;
    for (const [i, id] of IDS.entries()) this.fleet.add(id, { metadata: { rack: String(i % 3) } });
  }

  /** Anything may happen. */
  async anything(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) {
      await this.#act(this.#rng.below(13));
      await this.fleet.run(this.#rng.below(3_000));
    }
  }

  /** Store and fleetd suffer, but no machine is away for long and nobody wants anything else. */
  async harmless(steps: number): Promise<void> {
    const { fleet } = this;
    for (let i = 0; i < steps; i++) {
      const machine = this.#machine();
      switch (this.#rng.below(4)) {
        case 0:
          this.#note("the store is away");
          fleet.etcd.down();
          await fleet.run(this.#rng.below(30_000));
          fleet.etcd.up();
          break;
        case 1:
          this.#note("fleetd is killed", machine.id);
          machine.killFleetd();
          await fleet.run(this.#rng.below(1_500));
          machine.startFleetd();
          break;
        case 2:
          this.#note("fleetd is restarted", machine.id);
          await fleet.drive(machine.stopFleetd());
          await fleet.run(this.#rng.below(20_000));
          machine.startFleetd();
          break;
        default:
          fleet.etcd.compact();
      }
      await fleet.until("all are registered", () => fleet.machines.every((m) => m.agent.problem === undefined));
      await fleet.run(5_000);
    }
  }

  /** Everything works again. */
  async heal(): Promise<void> {
    const { fleet } = this;
    this.#note("heal");
    fleet.etcd.up();
    for (const machine of fleet.machines) {
      machine.store.setConnected(true);
      if (!machine.isUp) machine.startFleetd();
    }
    await fleet.run(60_000);
  }

  async #act(what: number): Promise<void> {
    const { fleet } = this;
    const machine = this.#machine();
    const name = NAMES[this.#rng.below(NAMES.length)] ?? "";
    const isUp = fleet.etcd.isUp;
    if (what < 3 && isUp) {
      const line = FLEET_LINES[this.#rng.below(FLEET_LINES.length)]?.(this.#rng) ?? "";
      const text = `[Unit]\nDescription=${this.#rng.below(3)}\n[X-Fleet]\n${line}`;
      this.#note("submit", `${name}: ${line}`);
      return await fleet.submit(name, text);
    }
    if (what < 5 && isUp) {
      const desired = (["inactive", "loaded", "launched"] as const)[this.#rng.below(3)] ?? "inactive";
      this.#note(desired, name);
      return void (await fleet.setDesired(name, desired));
    }
    if (what === 5 && isUp) {
      this.#note("destroy", name);
      return void (await fleet.destroy(name));
    }
    if (what === 6 && machine.isUp) {
      this.#note("power cut", machine.id);
      return machine.kill();
    }
    if (what === 7 && machine.isUp) {
      this.#note("fleetd is killed", machine.id);
      return machine.killFleetd();
    }
    if (what === 8 && machine.isUp) {
      this.#note("fleetd is stopped", machine.id);
      return await fleet.drive(machine.stopFleetd({ drain: this.#rng.below(2) === 0 }));
    }
    if (what <= 10 && !machine.isUp) {
      this.#note("fleetd is started", machine.id);
      return machine.startFleetd();
    }
    if (what === 11 && machine.isUp) {
      this.#note("network of", machine.id);
      return machine.store.setConnected(!machine.store.isConnected);
    }
    this.#note(isUp ? "the store goes away" : "the store comes back");
    if (isUp) fleet.etcd.down();
    else fleet.etcd.up();
  }

  #machine() {
    const machine = this.fleet.machines[this.#rng.below(this.fleet.machines.length)];
    if (machine === undefined) throw new Error("no machine");
    return machine;
  }

  #note(type: string, about = ""): void {
    this.#trace.add({ t: this.fleet.clock.monotonicMs(), type, about });
  }
}

/** Looks at the store and at the machines themselves. */
function checkAtRest(fleet: SimFleet): void {
  const view = new RegistryView(new Keys());
  for (const entry of fleet.etcd.read("").entries) view.apply(entry.key, entry);
  const cluster = view.cluster();
  const plan = reconcile(cluster);
  expect(plan.decisions, "the engine has nothing left to do").toEqual([]);
  expect(view.unusedBlobs(), "no text without a unit").toEqual([]);
  expect(
    fleet.machines.filter((machine) => machine.engine.isLeader),
    "leaders",
  ).toHaveLength(1);
  for (const machine of fleet.machines) {
    expect(machine.agent.problem).toBeUndefined();
    const globals = globalsOn(cluster, machine.id);
    const here = view
      .units()
      .filter((unit) => unit.desired !== "inactive")
      .filter((unit) => (unit.requirements.global ? globals.has(unit.name) : unit.target === machine.id));
    const names = (units: typeof here) => units.map((unit) => unit.name);
    expect(machine.manager.loaded(), `loaded on ${machine.id}`).toEqual(names(here));
    const launched = here.filter((unit) => unit.desired === "launched");
    expect(machine.manager.running(), `running on ${machine.id}`).toEqual(names(launched));
    const states = view.allStates().filter(({ state }) => state.machineId === machine.id);
    const shown = states.map(({ name, state }) => [name, state.activeState, state.hash, state.isLaunched]);
    const want = here.map(({ name, desired, hash }) => {
      const isLaunched = desired === "launched";
      return [name, isLaunched ? "active" : "inactive", hash, isLaunched];
    });
    expect(shown, `states of ${machine.id}`).toEqual(want);
  }
  const waiting = Object.fromEntries(view.units().flatMap(({ name, why }) => (why === undefined ? [] : [[name, why]])));
  expect(waiting, "reasons").toEqual(Object.fromEntries(plan.waiting));
}

it(`whatever happens, it comes right (${SEEDS} seeds)`, async () => {
  const { seedsRun } = await withSeeds("fleet-chaos", {
    seeds: SEEDS,
    ...(process.env["SIM_SEEDS"] === undefined ? { budgetMs: 12_000 } : {}),
    run: async ({ rng, trace }) => {
      const chaos = new Chaos(rng, trace);
      await using fleet = chaos.fleet;
      await chaos.anything(40);
      await chaos.heal();
      checkAtRest(fleet);
      const { writes } = fleet.etcd;
      const calls = fleet.machines.map((machine) => machine.manager.calls.length);
      await fleet.run(60_000);
      expect(fleet.etcd.writes, "writes at rest").toBe(writes);
      await chaos.harmless(5);
      checkAtRest(fleet);
      expect(
        fleet.machines.map((machine) => machine.manager.calls.length),
        "units touched",
      ).toEqual(calls);
    },
  });
  process.stdout.write(`fleet-chaos: ${seedsRun} seeds\n`);
});
