import { createHash } from "node:crypto";
import { ClusterError } from "./errors.ts";
import type { MachineSpec } from "./port.ts";

/** More machines than one host can usefully run. */
export const MACHINES_MAX = 64;

/**
 * Specs of `count` machines named `m1` to `mN`. Machine ids follow from the cluster's name, so that a cluster that
 * is started again on its directory is the same cluster. Every odd machine has metadata `disk=ssd`, the others
 * `disk=hdd`, and each has `rack=rN`, so that demos and scenarios have something to choose by.
 */
export function makeSpecs(clusterName: string, count: number): MachineSpec[] {
  if (!Number.isInteger(count) || count < 1 || count > MACHINES_MAX) {
    throw new ClusterError(`cannot make a cluster of ${count} machines: give a whole number from 1 to ${MACHINES_MAX}`);
  }
  return Array.from({ length: count }, (_, i) => ({
    name: `m${i + 1}`,
    machineId: createHash("sha256")
      .update(`${clusterName}/m${i + 1}`)
      .digest("hex")
      .slice(0, 32),
    metadata: { disk: i % 2 === 0 ? "ssd" : "hdd", rack: `r${i + 1}` },
  }));
}

/** Refuses specs that cannot form a cluster: bad or repeated names and ids. Changes nothing. */
export function checkSpecs(specs: readonly MachineSpec[]): void {
  const seen = new Set<string>();
  for (const { name, machineId } of specs) {
    if (!/^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/.test(name)) {
      throw new ClusterError(`machine name ${JSON.stringify(name)} is not 1 to 32 of a-z, 0-9 and inner "-"`);
    }
    if (!/^[0-9a-f]{32}$/.test(machineId)) {
      throw new ClusterError(`machine id ${JSON.stringify(machineId)} of ${name} is not 32 lower-case hex digits`);
    }
    for (const word of [name, machineId]) {
      if (seen.has(word)) throw new ClusterError(`two machines are called ${word}: names and ids must differ`);
      seen.add(word);
    }
  }
}

/**
 * The id etcd gives a member of the initial cluster: the first 8 bytes of SHA-1 over its sorted peer URLs and the
 * cluster token (etcd server/etcdserver/api/membership/member.go).
 */
export function etcdMemberId(peerUrls: readonly string[], clusterToken: string): bigint {
  const hash = createHash("sha1");
  hash.update(peerUrls.toSorted().join(""));
  hash.update(clusterToken);
  return hash.digest().readBigUInt64BE(0);
}
