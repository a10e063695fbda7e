import { readFile } from "node:fs/promises";
import { FleetClient } from "@keelson/fleet";
import { freePort, type ProcessHandle, startProcess, type TempDir } from "@keelson/testkit";

const MAIN = new URL("../src/main.ts", import.meta.url).pathname;

/** Options of {@link TestMachine}. */
export interface TestMachineOptions {
  readonly name: string;
  readonly machineId: string;
  readonly etcdServers: readonly string[];
  readonly dir: TempDir;
  readonly flags?: readonly string[];
}

/** A machine as two processes: the unit manager, whose children the units are, and fleetd. */
export class TestMachine implements AsyncDisposable {
  readonly name: string;
  readonly machineId: string;
  readonly #options: TestMachineOptions;
  #manager: ProcessHandle | undefined;
  #fleetd: ProcessHandle | undefined;
  #port = 0;

  constructor(options: TestMachineOptions) {
    this.#options = options;
    this.name = options.name;
    this.machineId = options.machineId;
  }

  get client(): FleetClient {
    return new FleetClient({ endpoint: `http://127.0.0.1:${this.#port}` });
  }

  get socket(): string {
    return this.#options.dir.join(`${this.name}.sock`);
  }

  get fleetd(): ProcessHandle {
    if (this.#fleetd === undefined) throw new Error(`${this.name} is not started`);
    return this.#fleetd;
  }

  async start(): Promise<void> {
    this.startManager();
    await this.startFleetd();
  }

  startManager(): void {
    this.#manager = startProcess(
      process.execPath,
      [MAIN, "unit-manager", "--directory", this.#directory, "--socket", this.#managerSocket],
      { name: `${this.name} unit-manager` },
    );
  }

  async startFleetd(): Promise<void> {
    this.#port = await freePort();
    const { etcdServers, flags = [] } = this.#options;
    this.#fleetd = startProcess(
      process.execPath,
      [
        MAIN,
        `--name=${this.name}`,
        `--machine-id=${this.machineId}`,
        "--public-ip=127.0.0.1",
        `--etcd-servers=${etcdServers.join(",")}`,
        "--unit-manager=embedded",
        `--unit-manager-socket=${this.#managerSocket}`,
        `--units-directory=${this.#directory}`,
        `--listen=unix://${this.socket},http://127.0.0.1:${this.#port}`,
        ...flags,
      ],
      { name: `${this.name} fleetd` },
    );
    await this.#fleetd.waitForLine(/"fleetd ready"/);
  }

  /** Cuts the power: fleetd, unit manager and units end at once. */
  async kill(): Promise<void> {
    this.#fleetd?.killTree("SIGKILL");
    for (const pid of await this.#unitPids()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Gone already.
      }
    }
    this.#manager?.killTree("SIGKILL");
    await Promise.all([this.#fleetd?.waitForExit(), this.#manager?.waitForExit()]);
  }

  async stopFleetd(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    this.fleetd.kill(signal);
    return (await this.fleetd.waitForExit()).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fleetd?.[Symbol.asyncDispose]();
    // The manager ends its units when asked to, which a kill would not.
    this.#manager?.kill("SIGTERM");
    await this.#manager?.waitForExit().catch(() => {});
    await this.#manager?.[Symbol.asyncDispose]();
  }

  get #directory(): string {
    return this.#options.dir.join(this.name, "units");
  }

  get #managerSocket(): string {
    return this.#options.dir.join(`${this.name}-units.sock`);
  }

  /** Main processes of the units: children of the unit manager. */
  async #unitPids(): Promise<number[]> {
    const pid = this.#manager?.pid;
    if (pid === undefined) return [];
    const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
    return text.split(" ").filter(Boolean).map(Number);
  }
}
