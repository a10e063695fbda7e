import { ClusterError } from "./errors.ts";

/**
 * Checks the groups of a partition and adds one with the machines that no group names. Pure.
 * @throws ClusterError for machines that are not there or in two groups
 */
export function completeGroups(known: readonly string[], groups: readonly (readonly string[])[]): string[][] {
  const seen = new Set<string>();
  for (const name of groups.flat()) {
    if (!known.includes(name)) throw new ClusterError(`cannot partition: there is no machine ${name}`);
    if (seen.has(name)) throw new ClusterError(`cannot partition: ${name} is in two groups`);
    seen.add(name);
  }
  const rest = known.filter((name) => !seen.has(name));
  return [...groups.map((group) => [...group]), ...(rest.length > 0 ? [rest] : [])];
}
