import type * as mvcc from "@keelson/mvcc";
import type * as pb from "@keelson/proto";
import { EtcdError } from "./errors.ts";

// Between the wire's messages and the store's plain types. Messages are literals: in proto3 those are whole messages, and
// `create` would cost more than the read.

const SORT_ORDERS = ["none", "ascend", "descend"] as const;
const SORT_TARGETS = ["key", "version", "create", "mod", "value"] as const;
const COMPARE_RESULTS = ["equal", "greater", "less", "notEqual"] as const;

const ALWAYS_EQUAL: ReadonlySet<mvcc.CompareResult> = new Set(["equal", "any"]);

export function toRangeOptions(r: pb.RangeRequest): mvcc.RangeOptions {
  return {
    key: r.key,
    end: r.rangeEnd,
    limit: number(r.limit),
    revision: number(r.revision),
    sortOrder: SORT_ORDERS[r.sortOrder] ?? "none",
    sortTarget: SORT_TARGETS[r.sortTarget] ?? "key",
    keysOnly: r.keysOnly,
    countOnly: r.countOnly,
    minModRevision: number(r.minModRevision),
    maxModRevision: number(r.maxModRevision),
    minCreateRevision: number(r.minCreateRevision),
    maxCreateRevision: number(r.maxCreateRevision),
  };
}

export function toPutOptions(p: pb.PutRequest): mvcc.PutOptions {
  return {
    key: p.key,
    value: p.value,
    lease: p.lease,
    prevKv: p.prevKv,
    ignoreValue: p.ignoreValue,
    ignoreLease: p.ignoreLease,
  };
}

export function toDeleteOptions(d: pb.DeleteRangeRequest): mvcc.DeleteRangeOptions {
  return { key: d.key, end: d.rangeEnd, prevKv: d.prevKv };
}

export function toTxn(t: pb.TxnRequest): mvcc.Txn {
  return { compare: t.compare.map(toCompare), success: t.success.map(toOp), failure: t.failure.map(toOp) };
}

function toOp({ request }: pb.RequestOp): mvcc.TxnOp {
  switch (request.case) {
    case "requestRange":
      return { type: "range", range: toRangeOptions(request.value) };
    case "requestPut":
      return { type: "put", put: toPutOptions(request.value) };
    case "requestDeleteRange":
      return { type: "deleteRange", deleteRange: toDeleteOptions(request.value) };
    case "requestTxn":
      return { type: "txn", txn: toTxn(request.value) };
    case undefined:
      throw new EtcdError("ERR_KEY_NOT_FOUND");
  }
}

function toCompare(c: pb.Compare): mvcc.Compare {
  const result: mvcc.CompareResult = COMPARE_RESULTS[c.result] ?? "any";
  const base = { key: c.key, end: c.rangeEnd, result };
  const { case: name, value } = c.targetUnion;
  // An operand of another kind than the target counts as the zero of the target, as in upstream's getters.
  switch (c.target) {
    case 0:
      return { ...base, target: "version", operand: name === "version" ? number(value) : 0 };
    case 1:
      return { ...base, target: "create", operand: name === "createRevision" ? number(value) : 0 };
    case 2:
      return { ...base, target: "mod", operand: name === "modRevision" ? number(value) : 0 };
    case 3:
      return { ...base, target: "value", operand: name === "value" ? value : new Uint8Array(0) };
    case 4:
      return { ...base, target: "lease", operand: name === "lease" ? value : 0n };
    default:
      // Nothing is looked at, and nothing differs from nothing (upstream: txn.compareKV).
      return { ...base, target: "version", operand: 0, result: ALWAYS_EQUAL.has(base.result) ? "any" : "never" };
  }
}

export function fromKeyValue(kv: mvcc.KeyValue): pb.KeyValue {
  return {
    $typeName: "mvccpb.KeyValue",
    key: kv.key,
    createRevision: BigInt(kv.createRevision),
    modRevision: BigInt(kv.modRevision),
    version: BigInt(kv.version),
    value: kv.value,
    lease: kv.lease,
  };
}

export function fromRange(r: mvcc.RangeResult, header?: pb.ResponseHeader): pb.RangeResponse {
  return {
    $typeName: "etcdserverpb.RangeResponse",
    ...(header === undefined ? {} : { header }),
    kvs: r.kvs.map(fromKeyValue),
    more: r.more,
    count: BigInt(r.count),
  };
}

export function fromPut(prevKv: mvcc.KeyValue | undefined, header: pb.ResponseHeader): pb.PutResponse {
  return {
    $typeName: "etcdserverpb.PutResponse",
    header,
    ...(prevKv === undefined ? {} : { prevKv: fromKeyValue(prevKv) }),
  };
}

export function fromDelete(
  r: { readonly deleted: number; readonly prevKvs: readonly mvcc.KeyValue[] },
  header: pb.ResponseHeader,
): pb.DeleteRangeResponse {
  return {
    $typeName: "etcdserverpb.DeleteRangeResponse",
    header,
    deleted: BigInt(r.deleted),
    prevKvs: r.prevKvs.map(fromKeyValue),
  };
}

/** Replies nested in a transaction carry a header with nothing but the revision, those of transactions not even that, as upstream's do. */
export function fromTxnOp(r: mvcc.TxnOpResult): pb.ResponseOp {
  return { $typeName: "etcdserverpb.ResponseOp", response: fromTxnOpCase(r) };
}

function fromTxnOpCase(r: mvcc.TxnOpResult): pb.ResponseOp["response"] {
  switch (r.type) {
    case "range":
      return { case: "responseRange", value: fromRange(r.result, revisionHeader(r.result.revision)) };
    case "put":
      return { case: "responsePut", value: fromPut(r.prevKv, revisionHeader(r.revision)) };
    case "deleteRange":
      return { case: "responseDeleteRange", value: fromDelete(r, revisionHeader(r.revision)) };
    case "txn":
      return {
        case: "responseTxn",
        value: {
          $typeName: "etcdserverpb.TxnResponse",
          header: revisionHeader(0),
          succeeded: r.succeeded,
          responses: r.results.map(fromTxnOp),
        },
      };
  }
}

function revisionHeader(revision: number): pb.ResponseHeader {
  return {
    $typeName: "etcdserverpb.ResponseHeader",
    clusterId: 0n,
    memberId: 0n,
    revision: BigInt(revision),
    raftTerm: 0n,
  };
}

export function fromEvent(event: mvcc.MvccEvent, withPrev: boolean): pb.Event {
  return {
    $typeName: "mvccpb.Event",
    type: event.type === "put" ? 0 : 1,
    kv: fromKeyValue(event.kv),
    ...(withPrev && event.prevKv !== undefined ? { prevKv: fromKeyValue(event.prevKv) } : {}),
  };
}

/** An int64 of the wire as a number. Values beyond 2^53 stand for "far away" wherever they may come from a client. */
export function number(value: bigint): number {
  return Number(value);
}
