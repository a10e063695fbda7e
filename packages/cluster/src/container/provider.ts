import { cp, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemdContainerProblem } from "@keelson/linux";
import { ClusterError, ProviderUnavailableError } from "../errors.ts";
import { completeGroups } from "../groups.ts";
import { ClusterNetwork } from "../network/network.ts";
import { ETCD_CLIENT_PORT, etcdEnv, FLEET_PORT, fleetEnv, NATIVE_TIMING, type Timing } from "../node-config.ts";
import type { MachineProvider, MachineSpec } from "../port.ts";
import { checkServices, openServices, type ServiceAddress, type Services, serviceAddress } from "../services/open.ts";
import { checkSpecs } from "../spec.ts";
import { ContainerMachine } from "./machine.ts";

export interface ContainerProviderOptions {
  /** A folder that `osctl build` made; it must not change while machines run (see `pinImage`). */
  readonly image: string;
  /** Where machines live; it is kept, with their disks. Default: a temporary directory that is removed at the end. */
  readonly directory?: string;
  readonly timing?: Timing;
  /** Services of the host that machines reach. */
  readonly services?: Services;
}

/** Why this host cannot run machines as containers, as one line; undefined when it can. */
export function whyNotContainer(): string | undefined {
  return systemdContainerProblem();
}

/** Machines as containers with real systemd on the image's root file system, each in its own network namespace. */
export class ContainerProvider implements MachineProvider {
  readonly kind = "container";
  readonly slowness = 2;
  readonly supports = { reboot: true, volatileCache: false };
  readonly #options: ContainerProviderOptions;
  #directory = "";
  #network: ClusterNetwork | undefined;
  #services: AsyncDisposable | undefined;
  #machines: ContainerMachine[] = [];

  constructor(options: ContainerProviderOptions) {
    this.#options = options;
  }

  /** The machines' PID 1s. Killed ones end with all that is in them. */
  get pids(): number[] {
    return this.#machines.flatMap((machine) => machine.pid ?? []);
  }

  async start(
    specs: readonly MachineSpec[],
    options: { signal?: AbortSignal } = {},
  ): Promise<readonly ContainerMachine[]> {
    checkSpecs(specs);
    checkServices(this.#options.services ?? {});
    if (this.#machines.length > 0) throw new ClusterError("this provider has started its machines already");
    const problem = whyNotContainer();
    if (problem !== undefined) throw new ProviderUnavailableError(problem);
    const rootfs = join(this.#options.image, "rootfs");
    if ((await stat(rootfs).catch(() => undefined)) === undefined) {
      throw new ProviderUnavailableError(
        `there is no image in ${this.#options.image}: run osctl build (as root, on Debian)`,
      );
    }
    this.#directory = this.#options.directory ?? (await mkdtemp(join(tmpdir(), "keelson-ct-")));
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const network = await ClusterNetwork.create(
      specs.map((spec) => spec.name),
      "veth",
    );
    this.#network = network;
    this.#services = await openServices(network, this.#options.services ?? {});
    const timing = this.#options.timing ?? NATIVE_TIMING;
    const nodes = specs.map((spec, i) => {
      const own = network.plan.machines[i];
      if (own === undefined) throw new ClusterError(`no network for ${spec.name}`);
      return { spec, network: own, peerAddress: own.peerAddress, hostAddress: own.hostAddress };
    });
    for (const node of nodes) {
      const directory = join(this.#directory, node.spec.name);
      await mkdir(directory, { recursive: true });
      this.#machines.push(
        new ContainerMachine({
          spec: node.spec,
          directory,
          rootfs,
          network: node.network,
          etcdUrl: `http://${node.hostAddress}:${ETCD_CLIENT_PORT}`,
          fleetUrl: `http://${node.hostAddress}:${FLEET_PORT}`,
          urlOf: (port) => `http://${node.hostAddress}:${port}`,
          etc: {
            "keelson/etcd.env": etcdEnv(node, nodes, timing),
            "keelson/fleet.env": fleetEnv(node, nodes, timing),
          },
        }),
      );
    }
    await Promise.all(this.#machines.map((machine) => machine.boot(options.signal)));
    return this.#machines;
  }

  async partition(groups: readonly (readonly string[])[]): Promise<void> {
    const names = this.#machines.map((machine) => machine.spec.name);
    await this.#network?.partition(completeGroups(names, groups));
  }

  async heal(): Promise<void> {
    await this.#network?.heal();
  }

  serviceAddress(name: string): ServiceAddress {
    return serviceAddress(this.#options.services ?? {}, name);
  }

  async collect(directory: string): Promise<void> {
    await mkdir(directory, { recursive: true });
    for (const { spec } of this.#machines) {
      const machine = join(this.#directory, spec.name);
      const target = join(directory, spec.name);
      await cp(join(machine, "console.log"), join(target, "console.log"));
      await cp(join(machine, "host"), target, { recursive: true });
      await cp(join(machine, "disk/upper/etc/keelson"), join(target, "etc"), { recursive: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#machines.map((machine) => machine.kill()));
    await this.#services?.[Symbol.asyncDispose]();
    await this.#network?.[Symbol.asyncDispose]();
    if (this.#options.directory === undefined && this.#directory !== "") {
      await rm(this.#directory, { recursive: true, force: true });
    }
  }
}
