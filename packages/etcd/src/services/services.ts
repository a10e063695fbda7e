import { type BoundMethod, type BoundService, type CallContext, HealthReporter, RpcError, Status } from "@keelson/grpc";
import { EtcdError } from "../core/errors.ts";
import type { EtcdServer } from "../server.ts";
import { authService } from "./auth.ts";
import { clusterService } from "./cluster.ts";
import { kvService } from "./kv.ts";
import { leaseService } from "./lease.ts";
import { type MaintenanceDeps, maintenanceService } from "./maintenance.ts";
import { wantsLeader } from "./require-leader.ts";
import { watchService } from "./watch.ts";

/** Everything that a member serves over gRPC. */
export function etcdServices(server: EtcdServer, deps: MaintenanceDeps): BoundService[] {
  return [
    kvService(server),
    watchService(server),
    leaseService(server),
    clusterService(server),
    maintenanceService(server, deps),
    authService(server),
    new HealthReporter().service,
  ];
}

/** Refuses what cannot be answered here at all: calls that want a leader without one, and most calls on a learner. */
export function intercept(server: EtcdServer, method: BoundMethod, context: CallContext): void {
  if (wantsLeader(context) && server.member.leader === 0n) throw toRpcError(new EtcdError("ERR_NO_LEADER"));
  if (server.member.state.members.get(server.member.id)?.isLearner !== true) return;
  // A serializable Range is fine on a learner; whether it is one is seen only in the request.
  if (LEARNER_METHODS.has(method.path)) return;
  throw toRpcError(new EtcdError("ERR_NOT_SUPPORTED_FOR_LEARNER"));
}

const LEARNER_METHODS: ReadonlySet<string> = new Set([
  "/etcdserverpb.KV/Range",
  "/etcdserverpb.Maintenance/Status",
  "/etcdserverpb.Maintenance/Snapshot",
  "/grpc.health.v1.Health/Check",
  "/grpc.health.v1.Health/Watch",
]);

/** A refusal as it goes over the wire. */
export function toRpcError(error: unknown): RpcError | undefined;
export function toRpcError(error: EtcdError): RpcError;
export function toRpcError(error: unknown): RpcError | undefined {
  if (!(error instanceof EtcdError)) return undefined;
  return new RpcError(Status[error.status], error.message, { cause: error });
}
