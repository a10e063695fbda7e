import { randomInt } from "node:crypto";
import { readdir, writeFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { isLive, readProcessStat, run } from "@keelson/linux";
import { ClusterError } from "../errors.ts";

const NETNS_DIRECTORY = "/run/netns";
const PREFIX = "keelson-";
/** The bridge that joins the machines while the network is whole. */
const WHOLE = "peer";
/** The bridge between the machines and the host. */
const HOST_SIDE = "mgmt";
/** Where services of the host are for machines; the same in every cluster, since it is in the cluster's namespace. */
export const SERVICE_ADDRESS = "10.77.1.2";

/**
 * What machines have for cards. `veth`: two in their own namespace, one to the others and one to the host. `tap`: one
 * to the host, for a VM that runs in the hub's namespace and reaches the others on an Ethernet of its own.
 */
export type CardKind = "veth" | "tap";

/** One command of `ip(8)`. */
type IpCommand = readonly string[];

/** Names and addresses of a cluster's network namespaces. */
export interface NetworkPlan {
  /** The namespace with the bridges; it has no machine. */
  readonly hub: string;
  /** The host's only interface of it. */
  readonly hostInterface: string;
  readonly hostAddress: string;
  readonly machines: readonly MachineNetwork[];
}

export interface MachineNetwork {
  readonly name: string;
  readonly netns: string;
  /** On the network between machines, which partitions split. */
  readonly peerAddress: string;
  /** On the network to the host, which they do not. */
  readonly hostAddress: string;
  /** On the network of the host's services. */
  readonly serviceSideAddress: string;
  /** Name of the bridge's end of its cable to the other machines. */
  readonly port: string;
  /** Name of a VM's card to the host, in the hub's namespace. */
  readonly tap: string;
}

/** Names and addresses for `names`; `subnet` is the third byte of the host's network. Pure. */
export function planNetwork(pid: number, subnet: number, names: readonly string[]): NetworkPlan {
  const id = `${PREFIX}${pid}-${subnet}`;
  return {
    hub: id,
    hostInterface: `kl${subnet}-${pid}`.slice(0, 15),
    hostAddress: `10.78.${subnet}.1`,
    machines: names.map((name, i) => ({
      name,
      netns: `${id}-${name}`,
      peerAddress: `10.77.0.${i + 11}`,
      hostAddress: `10.78.${subnet}.${i + 11}`,
      serviceSideAddress: `10.77.1.${i + 11}`,
      port: `p${i}`,
      tap: `t${i}`,
    })),
  };
}

/** What makes the network. Everything hangs on namespaces, so removing those removes all of it. Pure. */
export function setUpCommands(plan: NetworkPlan, cards: CardKind): IpCommand[] {
  const { hub, hostInterface } = plan;
  return [
    ["netns", "add", hub],
    ["-n", hub, "link", "add", HOST_SIDE, "type", "bridge"],
    ["-n", hub, "address", "add", `${SERVICE_ADDRESS}/24`, "dev", HOST_SIDE],
    ["-n", hub, "link", "set", HOST_SIDE, "up"],
    ["link", "add", hostInterface, "type", "veth", "peer", "name", "host", "netns", hub],
    ["-n", hub, "link", "set", "host", "master", HOST_SIDE, "up"],
    ["address", "add", `${plan.hostAddress}/24`, "dev", hostInterface],
    ["link", "set", hostInterface, "up"],
    ...(cards === "veth" ? vethCommands(plan) : tapCommands(plan)),
  ];
}

function vethCommands({ hub, machines }: NetworkPlan): IpCommand[] {
  return [
    ["-n", hub, "link", "add", WHOLE, "type", "bridge"],
    ["-n", hub, "link", "set", WHOLE, "up"],
    ...machines.flatMap((machine, i) => [
      ["netns", "add", machine.netns],
      ["-n", machine.netns, "link", "set", "lo", "up"],
      ...cable(hub, machine.netns, "eth0", machine.port, WHOLE, machine.peerAddress),
      ...cable(hub, machine.netns, "eth1", `h${i}`, HOST_SIDE, machine.hostAddress),
      ["-n", machine.netns, "address", "add", `${machine.serviceSideAddress}/24`, "dev", "eth1"],
    ]),
  ];
}

function tapCommands({ hub, machines }: NetworkPlan): IpCommand[] {
  return machines.flatMap(({ tap }) => [
    ["-n", hub, "tuntap", "add", "dev", tap, "mode", "tap"],
    ["-n", hub, "link", "set", tap, "master", HOST_SIDE, "up"],
  ]);
}

function cable(hub: string, netns: string, card: string, port: string, bridge: string, address: string): IpCommand[] {
  return [
    ["-n", netns, "link", "add", card, "type", "veth", "peer", "name", port, "netns", hub],
    ["-n", hub, "link", "set", port, "master", bridge, "up"],
    ["-n", netns, "address", "add", `${address}/24`, "dev", card],
    ["-n", netns, "link", "set", card, "up"],
  ];
}

/** What splits the machines' network: one bridge for each group, ports moved to theirs. Pure. */
export function partitionCommands(plan: NetworkPlan, groups: readonly (readonly string[])[]): IpCommand[] {
  return groups.flatMap((group, i) => {
    const bridge = `g${i}`;
    return [
      ["-n", plan.hub, "link", "add", bridge, "type", "bridge"],
      ["-n", plan.hub, "link", "set", bridge, "up"],
      ...plan.machines
        .filter((machine) => group.includes(machine.name))
        .map((machine) => ["-n", plan.hub, "link", "set", machine.port, "master", bridge]),
    ];
  });
}

/** What joins them again. Pure. */
export function healCommands(plan: NetworkPlan, groupCount: number): IpCommand[] {
  return [
    ...plan.machines.map((machine) => ["-n", plan.hub, "link", "set", machine.port, "master", WHOLE]),
    ...Array.from({ length: groupCount }, (_, i) => ["-n", plan.hub, "link", "delete", `g${i}`]),
  ];
}

/** The network namespaces of a cluster. */
export class ClusterNetwork implements AsyncDisposable {
  readonly plan: NetworkPlan;
  #groupCount = 0;

  private constructor(plan: NetworkPlan) {
    this.plan = plan;
  }

  /** Makes it; first removes those of harnesses that are gone. */
  static async create(names: readonly string[], cards: CardKind): Promise<ClusterNetwork> {
    await sweepNetworks();
    const network = new ClusterNetwork(planNetwork(process.pid, freeSubnet(), names));
    try {
      await runAll(setUpCommands(network.plan, cards));
      // Machines reach the host, and nothing beyond it even where the host is a router.
      await writeFile(`/proc/sys/net/ipv4/conf/${network.plan.hostInterface}/forwarding`, "0");
    } catch (cause) {
      await network[Symbol.asyncDispose]();
      throw new ClusterError(
        "cannot make the network namespaces of the machines (needs root and iproute2)",
        {},
        { cause },
      );
    }
    return network;
  }

  async partition(groups: readonly (readonly string[])[]): Promise<void> {
    await this.heal();
    this.#groupCount = groups.length;
    await runAll(partitionCommands(this.plan, groups));
  }

  async heal(): Promise<void> {
    const count = this.#groupCount;
    this.#groupCount = 0;
    if (count > 0) await runAll(healCommands(this.plan, count));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const netns of [...this.plan.machines.map((machine) => machine.netns), this.plan.hub]) {
      await run(["ip", "netns", "delete", netns], { check: false });
    }
  }
}

async function runAll(commands: readonly IpCommand[]): Promise<void> {
  for (const command of commands) await run(["ip", ...command]);
}

/** Removes the namespaces of processes that are gone. */
export async function sweepNetworks(): Promise<void> {
  for (const name of await readdir(NETNS_DIRECTORY).catch(() => [])) {
    const pid = /^keelson-(\d+)-\d+(-|$)/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) await run(["ip", "netns", "delete", name], { check: false });
  }
}

function isAlive(pid: number): boolean {
  const stat = readProcessStat(pid);
  return stat !== undefined && isLive(stat);
}

/** A third byte of 10.78.x.0/24 that no interface of the host has. */
function freeSubnet(): number {
  const used = new Set(
    Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .map((entry) => entry.address.split(".").slice(0, 3).join(".")),
  );
  for (let tries = 0; tries < 100; tries++) {
    const subnet = randomInt(1, 255);
    if (!used.has(`10.78.${subnet}`)) return subnet;
  }
  throw new ClusterError("no free network in 10.78.0.0/16: end other clusters (keelson cluster down)");
}
