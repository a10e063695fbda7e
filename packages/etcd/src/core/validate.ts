import { findDuplicateKey } from "@keelson/mvcc";
import {
  type Compare,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
  type RequestOp,
  type TxnRequest,
} from "@keelson/proto";
import { toTxn } from "./convert.ts";
import { EtcdError } from "./errors.ts";

/** The largest TTL in seconds that a lease may have (upstream: lease/lessor.go MaxLeaseTTL). */
export const MAX_LEASE_TTL_S = 9_000_000_000;

// Checks of requests before they go anywhere (upstream: server/etcdserver/api/v3rpc/key.go). All throw EtcdError.

export function checkRange(req: RangeRequest): void {
  if (req.key.length === 0) throw new EtcdError("ERR_EMPTY_KEY");
  if (req.sortOrder > RangeRequest_SortOrder.DESCEND || req.sortOrder < 0) {
    throw new EtcdError("ERR_INVALID_SORT_OPTION");
  }
  if (req.sortTarget > RangeRequest_SortTarget.VALUE || req.sortTarget < 0) {
    throw new EtcdError("ERR_INVALID_SORT_OPTION");
  }
}

export function checkPut(req: PutRequest): void {
  if (req.key.length === 0) throw new EtcdError("ERR_EMPTY_KEY");
  if (req.ignoreValue && req.value.length !== 0) throw new EtcdError("ERR_VALUE_PROVIDED");
  if (req.ignoreLease && req.lease !== 0n) throw new EtcdError("ERR_LEASE_PROVIDED");
}

export function checkDelete(req: DeleteRangeRequest): void {
  if (req.key.length === 0) throw new EtcdError("ERR_EMPTY_KEY");
}

/** @param maxOps the budget for the longest of compare, success and failure; what is nested shares the remainder */
export function checkTxn(req: TxnRequest, maxOps: number): void {
  checkTxnShape(req, maxOps);
  const { success, failure } = toTxn(req);
  if ((findDuplicateKey(success) ?? findDuplicateKey(failure)) !== undefined) throw new EtcdError("ERR_DUPLICATE_KEY");
}

function checkTxnShape(req: TxnRequest, maxOps: number): void {
  const ops = Math.max(req.compare.length, req.success.length, req.failure.length);
  if (ops > maxOps) throw new EtcdError("ERR_TOO_MANY_OPS");
  for (const c of req.compare) checkCompare(c);
  for (const op of req.success) checkOp(op, maxOps - ops);
  for (const op of req.failure) checkOp(op, maxOps - ops);
}

function checkCompare(c: Compare): void {
  if (c.key.length === 0) throw new EtcdError("ERR_EMPTY_KEY");
}

function checkOp(op: RequestOp, budget: number): void {
  switch (op.request.case) {
    case "requestRange":
      return checkRange(op.request.value);
    case "requestPut":
      return checkPut(op.request.value);
    case "requestDeleteRange":
      return checkDelete(op.request.value);
    case "requestTxn":
      return checkTxnShape(op.request.value, budget);
    case undefined:
      throw new EtcdError("ERR_KEY_NOT_FOUND"); // an empty op
  }
}

/** Whether a transaction has operations that change the store; those without are reads. Nested ones count as writes. */
export function isReadOnlyTxn(req: TxnRequest): boolean {
  const reads = (op: RequestOp) => op.request.case === "requestRange";
  return req.success.every(reads) && req.failure.every(reads);
}

/** Whether all its reads are serializable. */
export function isSerializableTxn(req: TxnRequest): boolean {
  const local = (op: RequestOp) => op.request.case === "requestRange" && op.request.value.serializable;
  return req.success.every(local) && req.failure.every(local);
}
