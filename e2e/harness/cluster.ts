import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Machine, type MachineProvider, makeSpecs, waitFor } from "@keelson/cluster";
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
      const cluster = new TestCluster(kind, provider, machines, await mkdtemp(join(tmpdir(), "keelson-e2e-")));
      await cluster.waitForMachines(
        machines.map((m) => m.spec.name),
        90_000,
      );
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

  /** Where each unit is and how it is there, from `fleetctl list-units`. */
  async units(via?: Machine): Promise<UnitRow[]> {
    const text = await this.fleetctl(
      ["list-units", "--full", "--no-legend", "--fields", "unit,machine,active,sub"],
      via,
    );
    return text
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => {
        const [unit = "", machine = "", active = "", sub = ""] = line.trim().split(/\s+/);
        return { unit, machine: this.#nameOf(machine), active, sub };
      });
  }

  /** Waits until the units are as `want` says. */
  waitForUnits(what: string, want: (rows: readonly UnitRow[]) => boolean, timeoutMs = 15_000): Promise<UnitRow[]> {
    return waitFor(
      what,
      async () => {
        const rows = await this.units();
        return want(rows) ? rows : undefined;
      },
      { timeoutMs: timeoutMs * this.provider.slowness, everyMs: 100 },
    );
  }

  /** Waits until fleet lists exactly these machines. */
  async waitForMachines(names: readonly string[], timeoutMs = 15_000): Promise<void> {
    const want = [...names].sort().join(",");
    await waitFor(`fleet lists ${want}`, async () => (await this.fleetMachines()).join(",") === want, {
      timeoutMs: timeoutMs * (timeoutMs >= 60_000 ? 1 : this.provider.slowness),
      everyMs: 200,
    });
  }

  async fleetMachines(): Promise<string[]> {
    for (const machine of this.running) {
      const { exitCode, stdout } = await tool("fleetctl", [
        "--endpoint",
        machine.fleetUrl,
        "list-machines",
        "--full",
        "--no-legend",
        "--fields",
        "machine",
      ]);
      if (exitCode === 0)
        return stdout
          .split("\n")
          .filter((line) => line !== "")
          .map((line) => this.#nameOf(line.trim()))
          .sort();
    }
    return [];
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
