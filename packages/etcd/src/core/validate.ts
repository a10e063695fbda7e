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
  // Within one branch every put must be alone on its key; the branches exclude each other.
  collectWrites(req.success);
  collectWrites(req.failure);
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

interface Writes {
  /** Keys put, as latin-1 text. */
  readonly puts: Set<string>;
  /** Ranges deleted, as [from, to) text; `to` undefined is "and all after". */
  readonly deletes: (readonly [string, string | undefined])[];
}

/** Collects what a list of operations writes. @throws EtcdError when two of them write one key in one revision */
function collectWrites(ops: readonly RequestOp[]): Writes {
  const all: Writes = { puts: new Set(), deletes: [] };
  for (const { request } of ops) {
    if (request.case === "requestDeleteRange") all.deletes.push(asRange(request.value.key, request.value.rangeEnd));
  }
  const nestedDeletes: (readonly [string, string | undefined])[] = [];
  for (const { request } of ops) {
    if (request.case !== "requestTxn") continue;
    const yes = collectWrites(request.value.success);
    const no = collectWrites(request.value.failure);
    // Only one branch runs, so a key in both is no duplicate.
    addPuts(all, new Set([...yes.puts, ...no.puts]));
    nestedDeletes.push(...yes.deletes, ...no.deletes);
    refuseOverlap(all.puts, [...nestedDeletes]);
  }
  all.deletes.push(...nestedDeletes);
  const own = new Set<string>();
  for (const { request } of ops) {
    if (request.case !== "requestPut") continue;
    const key = text(request.value.key);
    if (own.has(key)) throw new EtcdError("ERR_DUPLICATE_KEY");
    own.add(key);
  }
  addPuts(all, own);
  refuseOverlap(all.puts, all.deletes);
  return all;
}

function addPuts(all: Writes, puts: ReadonlySet<string>): void {
  for (const key of puts) {
    if (all.puts.has(key)) throw new EtcdError("ERR_DUPLICATE_KEY");
    all.puts.add(key);
  }
}

function refuseOverlap(puts: ReadonlySet<string>, deletes: readonly (readonly [string, string | undefined])[]): void {
  if (deletes.length === 0) return;
  for (const key of puts) {
    for (const [from, to] of deletes) {
      if (key >= from && (to === undefined || key < to)) throw new EtcdError("ERR_DUPLICATE_KEY");
    }
  }
}

function asRange(key: Uint8Array, rangeEnd: Uint8Array): readonly [string, string | undefined] {
  const from = text(key);
  if (rangeEnd.length === 0) return [from, `${from}\0`];
  if (rangeEnd.length === 1 && rangeEnd[0] === 0) return [from, undefined];
  return [from, text(rangeEnd)];
}

/** One character a byte: equal texts are equal bytes, and the order is that of the bytes. */
function text(bytes: Uint8Array): string {
  let out = "";
  for (const byte of bytes) out += String.fromCharCode(byte);
  return out;
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
