import { type BoundService, implement } from "@keelson/grpc";
import { type AlarmResponse, type HashKVResponse, Maintenance, type StatusResponse } from "@keelson/proto";
import { toEtcdError } from "../core/apply.ts";
import { EtcdError } from "../core/errors.ts";
import type { EtcdServer } from "../server.ts";
import { CLUSTER_VERSION, SERVER_VERSION } from "../version.ts";

/** Records that one step of a hash reads, so that others get their turn. */
const HASH_STEP = 2_000;
const ALARM_NAMES = ["NONE", "NOSPACE", "CORRUPT"];
const DEFAULT_QUOTA_BYTES = 2n << 30n;

/** What the maintenance service needs beside the server. */
export interface MaintenanceDeps {
  /** Bytes that the member's store takes on disk. */
  readonly storeBytes: () => Promise<number>;
}

/** etcdserverpb.Maintenance. Snapshot and Downgrade are not there yet. */
export function maintenanceService(server: EtcdServer, deps: MaintenanceDeps): BoundService {
  const header = () => server.member.state.header(server.member.term);
  return implement(Maintenance, {
    status: () => status(server, deps),
    alarm: async (req) => (await server.member.propose({ alarm: req })).response as AlarmResponse,
    hashKV: ({ revision }) => hashKv(server, Number(revision)),
    hash: async () => {
      const { hash } = await hashKv(server, 0);
      return { $typeName: "etcdserverpb.HashResponse" as const, header: header(), hash };
    },
    // LevelDB merges its tables by itself; there is nothing that would have to stop for it.
    defragment: () => ({ $typeName: "etcdserverpb.DefragmentResponse" as const }),
    moveLeader: async ({ targetID }) => {
      const { member } = server;
      if (!member.isLeader) throw new EtcdError("ERR_NOT_LEADER");
      const target = member.state.members.get(targetID);
      if (target === undefined || target.isLearner) throw new EtcdError("ERR_BAD_LEADER_TRANSFEREE");
      await member.transferLeadership(targetID);
      return { $typeName: "etcdserverpb.MoveLeaderResponse" as const };
    },
  });
}

async function status(server: EtcdServer, deps: MaintenanceDeps): Promise<StatusResponse> {
  const bytes = BigInt(await deps.storeBytes());
  const { member } = server;
  const { state } = member;
  const raft = member.status();
  const errors = member.leader === 0n ? ["etcdserver: no leader"] : [];
  for (const a of state.alarms.list()) errors.push(`memberID:${a.memberId} alarm:${ALARM_NAMES[a.alarm] ?? a.alarm} `);
  return {
    $typeName: "etcdserverpb.StatusResponse",
    header: state.header(raft.term),
    version: SERVER_VERSION,
    dbSize: bytes,
    leader: member.leader,
    raftIndex: BigInt(raft.commit),
    raftTerm: BigInt(raft.term),
    raftAppliedIndex: BigInt(state.applied.index),
    errors,
    dbSizeInUse: bytes,
    isLearner: state.members.get(member.id)?.isLearner ?? false,
    storageVersion: CLUSTER_VERSION,
    dbSizeQuota: DEFAULT_QUOTA_BYTES,
    downgradeInfo: { $typeName: "etcdserverpb.DowngradeInfo", enabled: false, targetVersion: "" },
  };
}

async function hashKv(server: EtcdServer, revision: number): Promise<HashKVResponse> {
  try {
    const task = server.member.state.mvcc.startHashKv(revision);
    for (;;) {
      const result = task.step(HASH_STEP);
      if (result !== undefined) {
        return {
          $typeName: "etcdserverpb.HashKVResponse",
          header: server.member.state.header(server.member.term),
          hash: result.hash,
          // As upstream, -1 says that nothing was ever compacted.
          compactRevision: BigInt(result.compactRevision || -1),
          hashRevision: BigInt(result.hashRevision),
        };
      }
      await new Promise<void>((resolve) => void server.clock.after(0, resolve));
    }
  } catch (error) {
    throw toEtcdError(error) ?? error;
  }
}
