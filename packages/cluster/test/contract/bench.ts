import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { EtcdClient } from "@keelson/etcd-client";
import type { Machine, MachineProvider } from "../../src/port.ts";
import type { Services } from "../../src/services/open.ts";
import { waitFor } from "../../src/wait.ts";

/** What the contract needs to make providers and to see what they leave behind. */
export interface MachineProviderHarness {
  /** A provider that was not started yet, on a directory of its own, with these services of the host. */
  create(services?: Services): Promise<MachineProvider>;
  /**
   * Names of what providers of this kind leave on the host: directories, mounts, namespaces, cgroups. The contract
   * compares what it says before the first provider with what it says at the end.
   */
  leftovers(): Promise<readonly string[]>;
}

/** One started cluster of three machines, and what tests ask of it. */
export class Bench {
  readonly provider: MachineProvider;
  readonly machines: readonly Machine[];

  constructor(provider: MachineProvider, machines: readonly Machine[]) {
    this.provider = provider;
    this.machines = machines;
  }

  /** A folder of a machine that is on its disk, as commands on it see it. */
  get diskDirectory(): string {
    return this.provider.kind === "process" ? "." : "/var/lib";
  }

  machine(i: number): Machine {
    const machine = this.machines[i];
    if (machine === undefined) throw new Error(`there is no machine ${i}`);
    return machine;
  }

  /** Waits within `seconds` of a machine at full speed. */
  async until(what: string, probe: () => Promise<boolean> | boolean, seconds = 20): Promise<void> {
    await waitFor(what, probe, { timeoutMs: seconds * 1000 * this.provider.slowness, everyMs: 100 });
  }

  /** How long one call to etcd may take. */
  get callMs(): number {
    return 3000 * this.provider.slowness;
  }

  async put(i: number, key: string, value: string): Promise<void> {
    await using client = this.#client(i);
    await client.put(key, value);
  }

  async get(i: number, key: string, options: { serializable?: boolean } = {}): Promise<string | undefined> {
    await using client = this.#client(i);
    return (await client.get(key, options))?.text;
  }

  /** Whether the machine's etcd answers linearizable reads: it is up and sees a quorum. */
  async hasQuorum(i: number): Promise<boolean> {
    return await this.get(i, "contract/none").then(
      () => true,
      () => false,
    );
  }

  /** Whether the machine's etcd answers at all. */
  async isUp(i: number): Promise<boolean> {
    return await this.get(i, "contract/none", { serializable: true }).then(
      () => true,
      () => false,
    );
  }

  #client(i: number): EtcdClient {
    return new EtcdClient({
      endpoints: [this.machine(i).etcdUrl],
      dialTimeoutMs: this.callMs,
      requestTimeoutMs: this.callMs,
    });
  }
}

/** How many processes of this host have `mark` in their command line; zombies do not count. */
export async function processesWith(mark: string): Promise<number> {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-ww", "-o", "args="], { maxBuffer: 16 << 20 });
  return stdout.split("\n").filter((line) => line.includes(mark)).length;
}
