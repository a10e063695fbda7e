/** A Raft or etcd member: random 64 bits, never 0. */
export type MemberId = bigint;
/** An etcd cluster: 64 bits. */
export type ClusterId = bigint;
/** A lease: a positive int63. 0n means no lease. */
export type LeaseId = bigint;
/** An MVCC main revision. Safe integer; an empty store is at 1. */
export type Revision = number;
/** 32 lower-case hex digits, as in /etc/machine-id. */
export type MachineId = string;
/** A systemd unit's full name, such as `web@1.service`. */
export type UnitName = string;

/** `%x` of a 64-bit id, as etcd prints it. */
export function hexId(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}
