import * as mvcc from "@keelson/mvcc";
import type * as pb from "@keelson/proto";
import { ALARM_CORRUPT, ALARM_NOSPACE, type AlarmRecord } from "./alarms.ts";
import {
  fromDelete,
  fromPut,
  fromRange,
  fromTxnOp,
  toDeleteOptions,
  toPutOptions,
  toRangeOptions,
  toTxn,
} from "./convert.ts";
import { EtcdError } from "./errors.ts";
import { idKey, KIND } from "./keys.ts";
import type { ApplyOutcome, StateMachine } from "./state-machine.ts";
import { MAX_LEASE_TTL_S } from "./validate.ts";

/** Carries out one request on the state. Never throws for what a client may have caused. */
export function applyRequest(
  state: StateMachine,
  r: pb.InternalRaftRequest,
  term: number,
  nowMs: number,
): ApplyOutcome {
  try {
    refuseByAlarm(state, r);
    return dispatch(state, r, term, nowMs);
  } catch (error) {
    const refusal = toEtcdError(error);
    if (refusal === undefined) throw error;
    return { error: refusal };
  }
}

function dispatch(state: StateMachine, r: pb.InternalRaftRequest, term: number, nowMs: number): ApplyOutcome {
  if (r.put !== undefined) return put(state, r.put, term);
  if (r.txn !== undefined) return txn(state, r.txn, term);
  if (r.deleteRange !== undefined) return deleteRange(state, r.deleteRange, term);
  if (r.range !== undefined) return { response: range(state, r.range, term) };
  if (r.compaction !== undefined) return compact(state, r.compaction, term);
  if (r.leaseGrant !== undefined) return leaseGrant(state, r.leaseGrant, term, nowMs);
  if (r.leaseRevoke !== undefined) return leaseRevoke(state, r.leaseRevoke, term);
  if (r.leaseCheckpoint !== undefined) return leaseCheckpoint(state, r.leaseCheckpoint, term, nowMs);
  if (r.alarm !== undefined) return { response: alarm(state, r.alarm, term) };
  if (r.clusterMemberAttrSet !== undefined) return memberAttributes(state, r.clusterMemberAttrSet);
  if (r.clusterVersionSet !== undefined) {
    state.setClusterVersion(r.clusterVersionSet.ver);
    return {};
  }
  // Requests of a newer version: skipping one would make this member differ from the others.
  return { error: new EtcdError("ERR_UNSUPPORTED") };
}

/** A read, at the state as it is. @throws EtcdError */
export function range(state: StateMachine, r: pb.RangeRequest, term: number): pb.RangeResponse {
  try {
    const result = state.mvcc.range(toRangeOptions(r));
    return fromRange(result, state.header(term, result.revision));
  } catch (error) {
    throw toEtcdError(error) ?? error;
  }
}

function put(state: StateMachine, r: pb.PutRequest, term: number): ApplyOutcome {
  const result = state.mvcc.put(toPutOptions(r), checksOf(state));
  return { response: fromPut(result.prevKv, state.header(term, result.revision)), changes: result.changes };
}

function deleteRange(state: StateMachine, r: pb.DeleteRangeRequest, term: number): ApplyOutcome {
  const result = state.mvcc.deleteRange(toDeleteOptions(r));
  return { response: fromDelete(result, state.header(term, result.revision)), changes: result.changes };
}

/** A transaction that only reads, which does not enter the log. @throws EtcdError */
export function readTxn(state: StateMachine, r: pb.TxnRequest, term: number): pb.TxnResponse {
  try {
    return txn(state, r, term).response as pb.TxnResponse;
  } catch (error) {
    throw toEtcdError(error) ?? error;
  }
}

function txn(state: StateMachine, r: pb.TxnRequest, term: number): ApplyOutcome {
  const result = state.mvcc.txn(toTxn(r), checksOf(state));
  const response: pb.TxnResponse = {
    $typeName: "etcdserverpb.TxnResponse",
    header: state.header(term, result.revision),
    succeeded: result.succeeded,
    responses: result.results.map(fromTxnOp),
  };
  return { response, changes: result.changes };
}

function checksOf(state: StateMachine): mvcc.WriteChecks {
  return { leaseExists: (id) => state.lessor.has(id) };
}

function compact(state: StateMachine, r: pb.CompactionRequest, term: number): ApplyOutcome {
  state.mvcc.compact(Number(r.revision));
  const response: pb.CompactionResponse = { $typeName: "etcdserverpb.CompactionResponse", header: state.header(term) };
  return { response };
}

function leaseGrant(state: StateMachine, r: pb.LeaseGrantRequest, term: number, nowMs: number): ApplyOutcome {
  if (Number(r.TTL) > MAX_LEASE_TTL_S) throw new EtcdError("ERR_LEASE_TTL_TOO_LARGE");
  const record = { id: r.ID, ttlS: Number(r.TTL), remainingS: 0 };
  if (!state.lessor.grant(record, nowMs)) throw new EtcdError("ERR_LEASE_EXISTS");
  state.storeLease(record);
  const response: pb.LeaseGrantResponse = {
    $typeName: "etcdserverpb.LeaseGrantResponse",
    header: state.header(term),
    ID: r.ID,
    TTL: r.TTL,
    error: "",
  };
  return { response };
}

function leaseRevoke(state: StateMachine, r: pb.LeaseRevokeRequest, term: number): ApplyOutcome {
  const keys = state.lessor.revoke(r.ID);
  if (keys === undefined) throw new EtcdError("ERR_LEASE_NOT_FOUND");
  state.backend.delete(idKey(KIND.lease, r.ID));
  const changes = keys.length === 0 ? undefined : state.mvcc.deleteKeys(keys).changes;
  const response: pb.LeaseRevokeResponse = {
    $typeName: "etcdserverpb.LeaseRevokeResponse",
    header: state.header(term),
  };
  return { response, changes };
}

function leaseCheckpoint(state: StateMachine, r: pb.LeaseCheckpointRequest, term: number, nowMs: number): ApplyOutcome {
  for (const { ID, remainingTTL } of r.checkpoints) {
    const record = state.lessor.checkpoint(ID, Number(remainingTTL), nowMs);
    if (record !== undefined) state.storeLease(record);
  }
  const response: pb.LeaseCheckpointResponse = {
    $typeName: "etcdserverpb.LeaseCheckpointResponse",
    header: state.header(term),
  };
  return { response };
}

function alarm(state: StateMachine, r: pb.AlarmRequest, term: number): pb.AlarmResponse {
  const record: AlarmRecord = { memberId: r.memberID, alarm: r.alarm };
  let listed: AlarmRecord[] = [record];
  if (r.action === 1) state.alarms.activate(record);
  else if (r.action === 2) {
    const all = r.memberID === 0n ? state.alarms.list(r.alarm) : [record];
    listed = all.filter((a) => state.alarms.deactivate(a));
  } else listed = state.alarms.list(r.alarm);
  return {
    $typeName: "etcdserverpb.AlarmResponse",
    header: state.header(term),
    alarms: listed.map((a) => ({
      $typeName: "etcdserverpb.AlarmMember",
      memberID: a.memberId,
      alarm: a.alarm as pb.AlarmType,
    })),
  };
}

function memberAttributes(
  state: StateMachine,
  r: NonNullable<pb.InternalRaftRequest["clusterMemberAttrSet"]>,
): ApplyOutcome {
  const { name = "", clientUrls = [] } = r.memberAttributes ?? {};
  if (state.members.setAttributes(r.memberID, name, clientUrls)) state.storeMember(r.memberID);
  return {};
}

/** What an alarm forbids (upstream: applierV3Corrupt, applierV3Capped). */
function refuseByAlarm(state: StateMachine, r: pb.InternalRaftRequest): void {
  if (r.alarm !== undefined || r.clusterMemberAttrSet !== undefined || r.clusterVersionSet !== undefined) return;
  if (state.alarms.has(ALARM_CORRUPT)) throw new EtcdError("ERR_CORRUPT");
  if (!state.alarms.has(ALARM_NOSPACE)) return;
  if (r.put !== undefined || r.leaseGrant !== undefined || (r.txn !== undefined && putsSomething(r.txn))) {
    throw new EtcdError("ERR_NO_SPACE");
  }
}

function putsSomething(t: pb.TxnRequest): boolean {
  return [...t.success, ...t.failure].some(
    ({ request }) => request.case === "requestPut" || (request.case === "requestTxn" && putsSomething(request.value)),
  );
}

/** The refusal that an error of the store is, or undefined for a defect. */
export function toEtcdError(error: unknown): EtcdError | undefined {
  if (error instanceof EtcdError) return error;
  if (error instanceof mvcc.CompactedError) return new EtcdError("ERR_COMPACTED", error.details);
  if (error instanceof mvcc.FutureRevisionError) return new EtcdError("ERR_FUTURE_REV", error.details);
  if (error instanceof mvcc.KeyNotFoundError) return new EtcdError("ERR_KEY_NOT_FOUND");
  if (error instanceof mvcc.LeaseNotFoundError) return new EtcdError("ERR_LEASE_NOT_FOUND");
  if (error instanceof mvcc.DuplicateKeyError) return new EtcdError("ERR_DUPLICATE_KEY");
  return undefined;
}
