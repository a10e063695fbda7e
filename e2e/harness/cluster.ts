import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Machine, type MachineProvider, makeSpecs, waitFor } from "@keelson/cluster";
import { FleetClient } from "@keelson/fleet/client";
import { type Kind, makeProvider } from "./kinds.ts";
import { mustRun, ROOT, tool } from "./tools.ts";

export interface UnitRow {
  readonly unit: string;
  /** Name of the machine, such as m1. */
  readonly machine: string;
  readonly active: string;
  readonly sub: string;
}

/** A cluster under test, driven by the programs its users have. */
export class TestCluster implements AsyncDisposable {
  readonly kind: Kind;
  readonly provider: MachineProvider;
  readonly machines: readonly Machine[];
  readonly #units: string;

  private constructor(kind: Kind, provider: MachineProvider, machines: readonly Machine[], units: string) {
    this.kind = kind;
    this.provider = provider;
    this.machines = machines;
    this.#units = units;
  }

  /** Starts `count` machines and waits until etcd has a quorum and fleet sees them all. Prints how long it took. */
  static async start(kind: Kind, count = 3): Promise<TestCluster> {
    const provider = await makeProvider(kind);
    const startedMs = performance.now();
    try {
      const machines = await provider.start(makeSpecs(`e2e-${kind}`, count));
      const cluster = await TestCluster.of(kind, provider, machines);
      process.stdout.write(
        `${kind}: ${count} machines formed a cluster in ${((performance.now() - startedMs) / 1000).toFixed(1)} s\n`,
      );
      return cluster;
    } catch (error) {
      await provider.collect(join(ROOT, "out/e2e", `${kind}-start`)).catch(() => {});
      await provider[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A cluster of machines that were started elsewhere; waits as {@link start} does. */
  static async of(kind: Kind, provider: MachineProvider, machines: readonly Machine[]): Promise<TestCluster> {
    const cluster = new TestCluster(kind, provider, machines, await mkdtemp(join(tmpdir(), "keelson-e2e-")));
    await cluster.waitForMachines(
      machines.map((m) => m.spec.name),
      180_000,
    );
    return cluster;
  }

  get #pollMs(): number {
    return Math.min(100 * this.provider.slowness, 500);
  }

  machine(name: string): Machine {
    const machine = this.machines.find((m) => m.spec.name === name);
    if (machine === undefined) throw new Error(`no machine ${name}`);
    return machine;
  }

  get running(): Machine[] {
    return this.machines.filter((m) => m.state === "running");
  }

  /** fleetctl against the first running machine, or the one given. */
  fleetctl(args: readonly string[], via: Machine | undefined = this.running[0]): Promise<string> {
    return mustRun("fleetctl", ["--endpoint", via?.fleetUrl ?? "", ...args]);
  }

  /** Writes a unit file where `fleetctl start` finds it. */
  async unitFile(name: string, text: string): Promise<string> {
    const path = join(this.#units, name);
    await writeFile(path, text);
    return path;
  }

  /** Where each unit is and how it is there, as the API of the first running machine (or the one given) says. */
  async units(via: Machine | undefined = this.running[0]): Promise<UnitRow[]> {
    // Not fleetctl: a program started ten times a second would take the CPU from the machines under test.
    const states = await new FleetClient({ endpoint: via?.fleetUrl ?? "" }).states();
    return states.map((state) => ({
      unit: state.name,
      machine: this.#nameOf(state.machineID),
      active: state.systemdActiveState,
      sub: state.systemdSubState,
    }));
  }

  /** Waits until the units are as `want` says. */
  waitForUnits(what: string, want: (rows: readonly UnitRow[]) => boolean, timeoutMs = 15_000): Promise<UnitRow[]> {
    return waitFor(
      what,
      async () => {
        const rows = await this.units();
        return want(rows) ? rows : undefined;
      },
      { timeoutMs: timeoutMs * this.provider.slowness, everyMs: this.#pollMs },
    );
  }

  /** Waits until every running machine's fleetd lists exactly these machines. */
  async waitForMachines(names: readonly string[], timeoutMs = 15_000): Promise<void> {
    const want = [...names].sort().join(",");
    const seenBy = async (machine: Machine) => {
      const machines = await new FleetClient({ endpoint: machine.fleetUrl }).machines();
      return machines
        .map(({ id }) => this.#nameOf(id))
        .sort()
        .join(",");
    };
    await waitFor(
      `every fleetd lists ${want}`,
      async () => (await Promise.all(this.running.map(seenBy))).every((seen) => seen === want),
      { timeoutMs: timeoutMs * (timeoutMs >= 60_000 ? 1 : this.provider.slowness), everyMs: this.#pollMs },
    );
  }

  /** Why a unit waits, from `fleetctl why`, whose exit code 4 says that it does. */
  async why(unit: string): Promise<string> {
    const { exitCode, stdout } = await tool("fleetctl", ["--endpoint", this.running[0]?.fleetUrl ?? "", "why", unit]);
    return exitCode === 4 ? stdout : "";
  }

  /** The lines a unit has written, from `fleetctl journal`. */
  async journal(unit: string): Promise<string[]> {
    return (await this.fleetctl(["journal", "--lines", "1000", "--output", "cat", unit])).split("\n");
  }

  /** Keeps what a failed scenario left: prints the path last. */
  async keepEvidence(scenario: string): Promise<void> {
    const directory = join(ROOT, "out/e2e", `${this.kind}-${scenario}`);
    await this.provider.collect(directory);
    process.stdout.write(`evidence kept in ${directory}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.provider[Symbol.asyncDispose]();
  }

  #nameOf(text: string): string {
    const id = text.split("/")[0] ?? "";
    return this.machines.find((m) => m.spec.machineId === id)?.spec.name ?? text;
  }
}
