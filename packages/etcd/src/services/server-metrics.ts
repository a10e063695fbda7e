import { readdirSync } from "node:fs";
import type { BoundMethod } from "@keelson/grpc";
import { type Status, statusName } from "@keelson/grpc";
import { hexId } from "@keelson/types";
import type { EtcdServer } from "../server.ts";
import { CLUSTER_VERSION, SERVER_VERSION } from "../version.ts";
import { DISK_BUCKETS, Registry } from "./metrics.ts";

/** When this process started, in seconds. */
const START_S = performance.timeOrigin / 1000;
const QUOTA_BYTES = 2 ** 31;
const GRPC_TYPES = {
  unary: "unary",
  server_streaming: "server_stream",
  client_streaming: "client_stream",
  bidi_streaming: "bidi_stream",
} as const;

/** The figures of a member, under the names that upstream's dashboards and alerts know. */
export class ServerMetrics {
  readonly registry = new Registry();
  readonly fsync = this.registry.histogram(
    "etcd_disk_wal_fsync_duration_seconds",
    "The latency distributions of fsync called by WAL.",
    DISK_BUCKETS,
  );
  /** Upstream's second wait for the disk. Here log and state are one batch, so that it is the same as `fsync`. */
  readonly commit = this.registry.histogram(
    "etcd_disk_backend_commit_duration_seconds",
    "The latency distributions of commit called by backend.",
    DISK_BUCKETS,
  );
  readonly apply = this.registry.histogram(
    "etcd_server_apply_duration_seconds",
    "The latency distributions of applying entries.",
    DISK_BUCKETS,
  );
  readonly leaderChanges = this.registry.counter(
    "etcd_server_leader_changes_seen_total",
    "The number of leader changes seen.",
  );
  readonly proposalsFailed = this.registry.counter(
    "etcd_server_proposals_failed_total",
    "The total number of failed proposals seen.",
  );
  readonly healthSuccess = this.registry.counter(
    "etcd_server_health_success",
    "The total number of successful health checks.",
  );
  readonly healthFailures = this.registry.counter(
    "etcd_server_health_failures",
    "The total number of failed health checks.",
  );
  readonly started = this.registry.counter("grpc_server_started_total", "Total number of RPCs started on the server.");
  readonly handled = this.registry.counter(
    "grpc_server_handled_total",
    "Total number of RPCs completed on the server, regardless of success or failure.",
  );
  readonly storeBytes = { value: 0 };

  constructor(server: EtcdServer) {
    const r = this.registry;
    // Looked up each time: metrics exist before the member has started.
    const member = () => server.member;
    const raft = () => member().status();
    const mvcc = () => member().state.mvcc;
    const bit = (b: boolean) => (b ? 1 : 0);
    r.gauge("etcd_server_has_leader", "Whether or not a leader exists.", () => bit(member().leader !== 0n));
    r.gauge("etcd_server_is_leader", "Whether or not this member is a leader.", () => bit(member().isLeader));
    r.gauge("etcd_server_is_learner", "Whether or not this member is a learner.", () =>
      bit(member().state.members.get(member().id)?.isLearner === true),
    );
    r.gauge(
      "etcd_server_id",
      "Server or member ID in hexadecimal format.",
      () => 1,
      () => ({ server_id: hexId(member().id) }),
    );
    r.gauge("etcd_server_version", "Which version is running.", () => 1, { server_version: SERVER_VERSION });
    r.gauge("etcd_cluster_version", "Which version is running.", () => 1, {
      cluster_version: CLUSTER_VERSION.slice(0, 3),
    });
    r.gauge(
      "etcd_server_proposals_committed_total",
      "The total number of consensus proposals committed.",
      () => raft().commit,
    );
    r.gauge(
      "etcd_server_proposals_applied_total",
      "The total number of consensus proposals applied.",
      () => member().state.applied.index,
    );
    r.gauge(
      "etcd_server_proposals_pending",
      "The current number of pending proposals to commit.",
      () => member().proposals.pending,
    );
    r.gauge("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.", () => QUOTA_BYTES);
    r.gauge(
      "etcd_mvcc_db_total_size_in_bytes",
      "Total size of the underlying database physically allocated in bytes.",
      () => this.storeBytes.value,
    );
    r.gauge(
      "etcd_mvcc_db_total_size_in_use_in_bytes",
      "Total size of the underlying database logically in use in bytes.",
      () => this.storeBytes.value,
    );
    r.gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.", () => mvcc().keys);
    r.gauge("etcd_debugging_mvcc_current_revision", "The current revision of store.", () => mvcc().revision);
    r.gauge(
      "etcd_debugging_mvcc_compact_revision",
      "The revision of the last compaction in store.",
      () => mvcc().compactRevision,
    );
    r.gauge("etcd_debugging_mvcc_watcher_total", "Total number of watchers.", () => server.hub.size);
    r.gauge("etcd_debugging_lease_total", "Total number of leases.", () => member().state.lessor.size);
    r.gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", () => START_S);
    r.gauge("process_open_fds", "Number of open file descriptors.", openFds);
    r.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", () => process.memoryUsage.rss());
    r.total("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    });
  }

  onStart(method: BoundMethod): void {
    this.started.inc(labelsOf(method));
  }

  onCall(method: BoundMethod, status: Status): void {
    this.handled.inc({ grpc_code: statusName(status), ...labelsOf(method) });
    if (status !== 0 && /^\/etcdserverpb\.KV\/(Put|DeleteRange|Txn)$/.test(method.path)) this.proposalsFailed.inc();
  }
}

function labelsOf({ desc }: BoundMethod): Record<string, string> {
  return { grpc_method: desc.name, grpc_service: desc.parent.typeName, grpc_type: GRPC_TYPES[desc.methodKind] };
}

function openFds(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0; // no /proc
  }
}
