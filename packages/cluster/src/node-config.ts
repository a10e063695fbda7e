import type { MachineSpec } from "./port.ts";

/** Times of etcd and fleet, in milliseconds. */
export interface Timing {
  readonly heartbeatMs: number;
  readonly electionMs: number;
  /** Of fleetd's lease; etcd grants no shorter one than one and a half election timeouts. */
  readonly agentTtlMs: number;
}

/**
 * For emulated CPUs, where a call between machines takes up to 150 ms: a leader's death is noticed in 3 to 6 s, a
 * machine's in 6 s, 3 s later when the leader died with it, so that its units are elsewhere within 25 s even then.
 */
export const EMULATED_TIMING: Timing = { heartbeatMs: 300, electionMs: 3000, agentTtlMs: 6000 };

/** For machines at full speed. */
export const NATIVE_TIMING: Timing = { heartbeatMs: 100, electionMs: 1000, agentTtlMs: 3000 };

/** How machines see each other. */
export interface NodeAddress {
  readonly spec: MachineSpec;
  /** On the network between machines. */
  readonly peerAddress: string;
  /** On the network to the host. */
  readonly hostAddress: string;
}

export const ETCD_CLIENT_PORT = 2379;
export const ETCD_PEER_PORT = 2380;
export const FLEET_PORT = 49153;
const CLUSTER_TOKEN = "keelson";

/** `etcd.env` of one machine: what etcd.service takes as its environment. Pure. */
export function etcdEnv(node: NodeAddress, all: readonly NodeAddress[], timing: Timing): string {
  const peer = (n: NodeAddress) => `http://${n.peerAddress}:${ETCD_PEER_PORT}`;
  return envFile({
    ETCD_NAME: node.spec.name,
    ETCD_LISTEN_CLIENT_URLS: `http://0.0.0.0:${ETCD_CLIENT_PORT}`,
    ETCD_ADVERTISE_CLIENT_URLS: `http://${node.peerAddress}:${ETCD_CLIENT_PORT}`,
    ETCD_LISTEN_PEER_URLS: `http://${node.peerAddress}:${ETCD_PEER_PORT}`,
    ETCD_INITIAL_ADVERTISE_PEER_URLS: peer(node),
    ETCD_INITIAL_CLUSTER: all.map((n) => `${n.spec.name}=${peer(n)}`).join(","),
    ETCD_INITIAL_CLUSTER_STATE: "new",
    ETCD_INITIAL_CLUSTER_TOKEN: CLUSTER_TOKEN,
    ETCD_HEARTBEAT_INTERVAL: String(timing.heartbeatMs),
    ETCD_ELECTION_TIMEOUT: String(timing.electionMs),
  });
}

/** `fleet.env` of one machine. Its own etcd first; the others when that one is down. Pure. */
export function fleetEnv(node: NodeAddress, all: readonly NodeAddress[], timing: Timing): string {
  const others = all.filter((n) => n !== node).map((n) => `http://${n.peerAddress}:${ETCD_CLIENT_PORT}`);
  return envFile({
    FLEET_NAME: node.spec.name,
    FLEET_ETCD_SERVERS: [`http://127.0.0.1:${ETCD_CLIENT_PORT}`, ...others].join(","),
    FLEET_PUBLIC_IP: node.peerAddress,
    FLEET_METADATA: Object.entries(node.spec.metadata)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    FLEET_AGENT_TTL: `${timing.agentTtlMs}ms`,
    // The first http address is the one that other machines are told: they forward journals and status.
    FLEET_LISTEN: [
      "unix:///run/fleet.sock",
      ...new Set([node.peerAddress, node.hostAddress].map((address) => `http://${address}:${FLEET_PORT}`)),
    ].join(","),
  });
}

/** systemd reads `#`, quotes and backslashes in values specially, so every value is quoted. Pure. */
export function envFile(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key}="${value.replace(/[\\"$`]/g, "\\$&")}"\n`)
    .join("");
}

/** A .network file of systemd-networkd for one card. Pure. */
export function networkFile(mac: string, addresses: readonly string[]): string {
  return [
    "[Match]",
    `MACAddress=${mac}`,
    "",
    "[Network]",
    ...addresses.map((address) => `Address=${address}`),
    "LinkLocalAddressing=no",
    "IPv6AcceptRA=no",
    "LLDP=no",
    "",
  ].join("\n");
}
