import type { MachineEntity } from "@keelson/fleet/client";

/** `113f16a7...`, or the whole id. */
export function machineIdLegend(id: string, isFull: boolean): string {
  return isFull ? id : `${id.slice(0, 8)}...`;
}

/** `113f16a7.../172.17.8.103`; the id alone of a machine without an address, or that is not in the cluster. */
export function machineLegend(id: string, machines: readonly MachineEntity[], isFull: boolean): string {
  const ip = machines.find((machine) => machine.id === id)?.primaryIP ?? "";
  return machineIdLegend(id, isFull) + (ip === "" ? "" : `/${ip}`);
}

/** `k=v,k=v` by key. */
export function formatMetadata(metadata: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(metadata ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? "-" : pairs.sort().join(",");
}
