import type { MemberId } from "@keelson/types";

/** How a member runs. Times are milliseconds, sizes bytes. */
export interface ServerConfig {
  readonly name: string;
  /** Where clients reach this member. */
  readonly advertiseClientUrls: readonly string[];
  /** This member's peer URLs, as in `initialCluster`. */
  readonly advertisePeerUrls: readonly string[];
  /** The members of a new cluster, by name. */
  readonly initialCluster: ReadonlyMap<string, readonly string[]>;
  readonly initialClusterState: "new" | "existing";
  readonly initialClusterToken: string;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  /** Entries applied between two compactions of the log. */
  readonly snapshotCount: number;
  /** Entries kept behind a compaction, so that a follower that is a little late needs no snapshot. */
  readonly snapshotCatchUpEntries: number;
  readonly maxRequestBytes: number;
  readonly maxTxnOps: number;
  readonly strictReconfigCheck: boolean;
  readonly preVote: boolean;
  /** Whether `fsync` is left out: data may be lost in a power cut. For tests. */
  readonly unsafeNoFsync: boolean;
  readonly watchProgressNotifyMs: number;
}

export const DEFAULT_CONFIG: ServerConfig = {
  name: "default",
  advertiseClientUrls: [],
  advertisePeerUrls: ["http://localhost:2380"],
  initialCluster: new Map([["default", ["http://localhost:2380"]]]),
  initialClusterState: "new",
  initialClusterToken: "etcd-cluster",
  heartbeatMs: 100,
  electionMs: 1000,
  snapshotCount: 10_000,
  snapshotCatchUpEntries: 5_000,
  maxRequestBytes: 1_572_864,
  maxTxnOps: 128,
  strictReconfigCheck: true,
  preVote: true,
  unsafeNoFsync: false,
  watchProgressNotifyMs: 600_000,
};

/** What a member that joins an existing cluster learned from it. */
export interface RemoteCluster {
  readonly clusterId: bigint;
  readonly members: readonly {
    readonly id: MemberId;
    readonly name: string;
    readonly peerUrls: readonly string[];
    readonly clientUrls: readonly string[];
    readonly isLearner: boolean;
  }[];
}
