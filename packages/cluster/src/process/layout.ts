import { join } from "node:path";
import type { MachineSpec } from "../port.ts";
import type { Programs } from "./programs.ts";

/** The files and addresses of one machine that is a set of processes. */
export interface MachineLayout {
  readonly spec: MachineSpec;
  readonly directory: string;
  readonly etcdData: string;
  readonly unitsDirectory: string;
  readonly unitManagerSocket: string;
  readonly fleetSocket: string;
  readonly fleetPort: number;
  readonly clientPort: number;
  /** Where etcd itself listens for peers. */
  readonly peerPort: number;
  /** The peer address that others know: the proxy that partitions. */
  readonly peerProxyPort: number;
}

export function layoutOf(
  root: string,
  spec: MachineSpec,
  ports: Pick<MachineLayout, "clientPort" | "peerPort" | "peerProxyPort" | "fleetPort">,
): MachineLayout {
  const directory = join(root, spec.name);
  return {
    spec,
    directory,
    etcdData: join(directory, "etcd"),
    unitsDirectory: join(directory, "units"),
    unitManagerSocket: join(directory, "units.sock"),
    fleetSocket: join(directory, "fleet.sock"),
    ...ports,
  };
}

/** How long a machine that says nothing counts as present: its units are to run elsewhere within 10 s of its death. */
const AGENT_TTL = "3s";

export const CLUSTER_TOKEN = "keelson";

/** `--initial-cluster` of the whole cluster; the same text on every machine, since member ids follow from it. */
export function initialCluster(layouts: readonly MachineLayout[]): string {
  return layouts.map((l) => `${l.spec.name}=${peerUrl(l)}`).join(",");
}

export function peerUrl(layout: MachineLayout): string {
  return `http://127.0.0.1:${layout.peerProxyPort}`;
}

export function clientUrl(layout: MachineLayout): string {
  return `http://127.0.0.1:${layout.clientPort}`;
}

/** The command line of the machine's etcd. */
export function etcdArgv(programs: Programs, layout: MachineLayout, all: readonly MachineLayout[]): string[] {
  return [
    ...programs.etcd,
    `--name=${layout.spec.name}`,
    `--data-dir=${layout.etcdData}`,
    `--listen-client-urls=${clientUrl(layout)}`,
    `--advertise-client-urls=${clientUrl(layout)}`,
    `--listen-peer-urls=http://127.0.0.1:${layout.peerPort}`,
    `--initial-advertise-peer-urls=${peerUrl(layout)}`,
    `--initial-cluster=${initialCluster(all)}`,
    "--initial-cluster-state=new",
    `--initial-cluster-token=${CLUSTER_TOKEN}`,
  ];
}

/** The command line of the machine's fleetd. `etcdUrls`: its own etcd first, the others through their links. */
export function fleetdArgv(programs: Programs, layout: MachineLayout, etcdUrls: readonly string[]): string[] {
  const metadata = Object.entries(layout.spec.metadata)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
  return [
    ...programs.fleetd,
    `--name=${layout.spec.name}`,
    `--machine-id=${layout.spec.machineId}`,
    "--public-ip=127.0.0.1",
    `--metadata=${metadata}`,
    `--etcd-servers=${etcdUrls.join(",")}`,
    "--unit-manager=embedded",
    `--unit-manager-socket=${layout.unitManagerSocket}`,
    `--units-directory=${layout.unitsDirectory}`,
    // The socket for its users, the port for the other machines, which forward journals.
    `--listen=unix://${layout.fleetSocket},http://127.0.0.1:${layout.fleetPort}`,
    `--agent-ttl=${AGENT_TTL}`,
  ];
}

/** The command line of the machine's embedded unit manager, the parent of its units. */
export function unitManagerArgv(programs: Programs, layout: MachineLayout): string[] {
  return [
    ...programs.fleetd,
    "unit-manager",
    `--directory=${layout.unitsDirectory}`,
    `--socket=${layout.unitManagerSocket}`,
  ];
}
