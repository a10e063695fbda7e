import type { NetworkPlan } from "./plan.ts";

/** One call of a plugin: its program's name, and its configuration without the last brace. */
export interface CniStage {
  readonly plugin: string;
  /**
   * JSON on one line up to, not including, the closing `}`. What runs it appends `}`, or `,"prevResult":RESULT}`, so
   * that a shell can chain plugins without understanding JSON.
   */
  readonly head: string;
}

/** What is run for one network of a pod. */
export interface CniChain {
  readonly name: string;
  readonly interface: string;
  /** CNI_ARGS. */
  readonly args: string;
  readonly stages: readonly CniStage[];
}

/** The CNI calls of a pod's networks, in the order of ADD. Source: CNI SPEC.md 1.0.0, sections 3 and 4. */
export function cniChains(network: NetworkPlan): CniChain[] {
  if (network.kind !== "cni") return [];
  const portMappings = network.ports.map(({ hostIp, ...port }) => ({
    ...port,
    ...(hostIp === undefined ? {} : { hostIP: hostIp }),
  }));
  return network.networks.map(({ name, interface: device, args, cniVersion, plugins }) => ({
    name,
    interface: device,
    args: ["IgnoreUnknown=1", ...args].join(";"),
    stages: plugins.map((plugin): CniStage => {
      const { capabilities, ...rest } = plugin;
      const wantsPorts = portMappings.length > 0 && isOn(capabilities, "portMappings");
      const config = { cniVersion, name, ...rest, ...(wantsPorts ? { runtimeConfig: { portMappings } } : {}) };
      return { plugin: String(plugin["type"]), head: JSON.stringify(config).slice(0, -1) };
    }),
  }));
}

/** Whether a network can publish ports at all: one of its plugins has to be able to. */
export function canPublish(network: NetworkPlan): boolean {
  return (
    network.kind === "cni" &&
    network.networks.some(({ plugins }) => plugins.some((plugin) => isOn(plugin["capabilities"], "portMappings")))
  );
}

function isOn(capabilities: unknown, name: string): boolean {
  return (
    typeof capabilities === "object" &&
    capabilities !== null &&
    (capabilities as Record<string, unknown>)[name] === true
  );
}

/** Addresses that a CNI result gave: `10.88.0.5`. An unreadable result has none. */
export function addressesOf(result: string): string[] {
  try {
    const { ips } = JSON.parse(result) as { ips?: unknown };
    if (!Array.isArray(ips)) return [];
    return ips.flatMap((entry: unknown) => {
      const address = typeof entry === "object" && entry !== null && "address" in entry ? entry.address : undefined;
      return typeof address === "string" ? [address.split("/")[0] ?? ""] : [];
    });
  } catch {
    return [];
  }
}
