import { rm } from "node:fs/promises";
import { ClusterError } from "../errors.ts";
import type { Machine, MachineProvider } from "../port.ts";
import { makeSpecs } from "../spec.ts";
import { ControlServer } from "./control-server.ts";
import { claimDirectory, clusterDirectory, controlSocket, machinesDirectory, writeRecord } from "./record.ts";

/** How a provider is made for a directory; it must keep its machines below it. */
export type ProviderFactory = (directory: string) => Promise<MachineProvider & { readonly pids?: readonly number[] }>;

export interface ClusterHostOptions {
  readonly name: string;
  readonly machines: number;
  readonly provider: ProviderFactory;
  readonly signal?: AbortSignal | undefined;
  /** Called when `keelson cluster down` asks for the end. */
  readonly onDown?: () => void;
}

/** What `GET /cluster` of the control socket tells. */
export interface ClusterInfo {
  readonly name: string;
  readonly kind: MachineProvider["kind"];
  readonly directory: string;
  readonly slowness: number;
  readonly machines: readonly MachineInfo[];
}

export interface MachineInfo {
  readonly name: string;
  readonly machineId: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly state: Machine["state"];
  readonly etcdUrl: string;
  readonly fleetUrl: string;
}

/** A running cluster and the socket by which other processes of the same user steer it. */
export class ClusterHost implements AsyncDisposable {
  readonly name: string;
  readonly directory: string;
  readonly machines: readonly Machine[];
  readonly #provider: Awaited<ReturnType<ProviderFactory>>;
  readonly #record: NodeJS.Timeout;
  #control: ControlServer | undefined;

  private constructor(
    name: string,
    directory: string,
    provider: Awaited<ReturnType<ProviderFactory>>,
    machines: readonly Machine[],
  ) {
    this.name = name;
    this.directory = directory;
    this.#provider = provider;
    this.machines = machines;
    // Programs that were restarted have new pids; the record is only for the sweep after a crash of ours.
    this.#record = setInterval(() => void this.#writeRecord().catch(() => {}), 2_000);
    this.#record.unref();
  }

  static async start(options: ClusterHostOptions): Promise<ClusterHost> {
    const specs = makeSpecs(options.name, options.machines);
    const directory = clusterDirectory(options.name);
    await claimDirectory(directory);
    let provider: Awaited<ReturnType<ProviderFactory>> | undefined;
    try {
      provider = await options.provider(machinesDirectory(directory));
      const machines = await provider.start(specs, options.signal === undefined ? {} : { signal: options.signal });
      const host = new ClusterHost(options.name, directory, provider, machines);
      await host.#writeRecord();
      host.#control = await ControlServer.listen(controlSocket(directory), host, options.onDown ?? (() => {}));
      return host;
    } catch (error) {
      await provider?.[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  info(): ClusterInfo {
    const machines = this.machines.map(({ spec, state, etcdUrl, fleetUrl }) => ({ ...spec, state, etcdUrl, fleetUrl }));
    return {
      name: this.name,
      kind: this.#provider.kind,
      slowness: this.#provider.slowness,
      directory: this.directory,
      machines,
    };
  }

  machine(name: string): Machine {
    const machine = this.machines.find((m) => m.spec.name === name || m.spec.machineId === name);
    if (machine !== undefined) return machine;
    throw new ClusterError(
      `there is no machine ${name}: give one of ${this.machines.map((m) => m.spec.name).join(", ")}`,
    );
  }

  partition(groups: readonly (readonly string[])[]): Promise<void> {
    return this.#provider.partition(groups);
  }

  heal(): Promise<void> {
    return this.#provider.heal();
  }

  collect(directory: string): Promise<void> {
    return this.#provider.collect(directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#record);
    await this.#control?.[Symbol.asyncDispose]();
    await this.#provider[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }

  #writeRecord(): Promise<void> {
    return writeRecord(this.directory, this.#provider.pids ?? []);
  }
}
