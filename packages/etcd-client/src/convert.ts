import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  type CompareSchema,
  type DeleteRangeRequestSchema,
  type DeleteRangeResponse,
  type PutRequestSchema,
  type PutResponse,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
  type RangeRequestSchema,
  type RangeResponse,
  type RequestOpSchema,
  type ResponseHeader,
  type ResponseOp,
  type TxnRequestSchema,
  type TxnResponse,
} from "@keelson/proto";
import { unreachable } from "@keelson/types";
import { KeyValue } from "./key-value.ts";
import { toBytes, toWireRange } from "./keys.ts";
import type {
  Bytes,
  Compare,
  DeleteOptions,
  DeleteResult,
  KeyRange,
  Op,
  OpResult,
  PutOptions,
  PutResult,
  RangeOptions,
  RangeResult,
  TxnResult,
  TxnSpec,
} from "./types.ts";

const SORT_TARGET = {
  key: RangeRequest_SortTarget.KEY,
  version: RangeRequest_SortTarget.VERSION,
  create: RangeRequest_SortTarget.CREATE,
  mod: RangeRequest_SortTarget.MOD,
  value: RangeRequest_SortTarget.VALUE,
};
const SORT_ORDER = { ascend: RangeRequest_SortOrder.ASCEND, descend: RangeRequest_SortOrder.DESCEND };
const RESULT = {
  "=": Compare_CompareResult.EQUAL,
  "!=": Compare_CompareResult.NOT_EQUAL,
  ">": Compare_CompareResult.GREATER,
  "<": Compare_CompareResult.LESS,
};

export function toRangeRequest(range: KeyRange, o: RangeOptions): MessageInitShape<typeof RangeRequestSchema> {
  return {
    ...toWireRange(range),
    limit: BigInt(o.limit ?? 0),
    revision: BigInt(o.revision ?? 0),
    serializable: o.serializable === true,
    keysOnly: o.keysOnly === true,
    countOnly: o.countOnly === true,
    minModRevision: BigInt(o.minModRevision ?? 0),
    maxModRevision: BigInt(o.maxModRevision ?? 0),
    minCreateRevision: BigInt(o.minCreateRevision ?? 0),
    maxCreateRevision: BigInt(o.maxCreateRevision ?? 0),
    ...(o.sort === undefined ? {} : { sortTarget: SORT_TARGET[o.sort.by], sortOrder: SORT_ORDER[o.sort.order] }),
  };
}

export function toPutRequest(key: Bytes, value: Bytes, o: PutOptions): MessageInitShape<typeof PutRequestSchema> {
  return {
    ...toWireRange({ key }),
    value: toBytes(value),
    lease: typeof o.lease === "object" ? o.lease.id : (o.lease ?? 0n),
    prevKv: o.prevKv === true,
    ignoreValue: o.ignoreValue === true,
    ignoreLease: o.ignoreLease === true,
  };
}

export function toDeleteRequest(range: KeyRange, o: DeleteOptions): MessageInitShape<typeof DeleteRangeRequestSchema> {
  return { ...toWireRange(range), prevKv: o.prevKv === true };
}

export function toTxnRequest(spec: TxnSpec): MessageInitShape<typeof TxnRequestSchema> {
  return {
    compare: spec.compares.map(toCompare),
    success: spec.success.map(toRequestOp),
    failure: spec.failure.map(toRequestOp),
  };
}

function toCompare(c: Compare): MessageInitShape<typeof CompareSchema> {
  const common = { ...toWireRange(c.range), result: RESULT[c.operator] };
  if (c.target === "value") {
    const value = c.operand instanceof Uint8Array ? c.operand : toBytes(String(c.operand));
    return { ...common, target: Compare_CompareTarget.VALUE, targetUnion: { case: "value", value } };
  }
  const value = c.operand instanceof Uint8Array ? 0n : BigInt(c.operand);
  switch (c.target) {
    case "version":
      return { ...common, target: Compare_CompareTarget.VERSION, targetUnion: { case: "version", value } };
    case "create":
      return { ...common, target: Compare_CompareTarget.CREATE, targetUnion: { case: "createRevision", value } };
    case "mod":
      return { ...common, target: Compare_CompareTarget.MOD, targetUnion: { case: "modRevision", value } };
    case "lease":
      return { ...common, target: Compare_CompareTarget.LEASE, targetUnion: { case: "lease", value } };
    default:
      return unreachable(c.target, "compare target");
  }
}

function toRequestOp(op: Op): MessageInitShape<typeof RequestOpSchema> {
  switch (op.type) {
    case "get":
      return { request: { case: "requestRange", value: toRangeRequest(op.range, op.options) } };
    case "put":
      return { request: { case: "requestPut", value: toPutRequest(op.key, op.value, op.options) } };
    case "delete":
      return { request: { case: "requestDeleteRange", value: toDeleteRequest(op.range, op.options) } };
    case "txn":
      return { request: { case: "requestTxn", value: toTxnRequest(op.spec) } };
    default:
      return unreachable(op, "operation");
  }
}

export function revisionOf(header: ResponseHeader | undefined): number {
  return Number(header?.revision ?? 0n);
}

export function fromRange(r: RangeResponse, revision = revisionOf(r.header)): RangeResult {
  return { revision, kvs: r.kvs.map((kv) => new KeyValue(kv)), more: r.more, count: Number(r.count) };
}

export function fromPut(r: PutResponse, revision = revisionOf(r.header)): PutResult {
  return { revision, prevKv: r.prevKv === undefined ? undefined : new KeyValue(r.prevKv) };
}

export function fromDelete(r: DeleteRangeResponse, revision = revisionOf(r.header)): DeleteResult {
  return { revision, deleted: Number(r.deleted), prevKvs: r.prevKvs.map((kv) => new KeyValue(kv)) };
}

export function fromTxn(r: TxnResponse, revision = revisionOf(r.header)): TxnResult {
  return { revision, succeeded: r.succeeded, results: r.responses.map((op) => fromResponseOp(op, revision)) };
}

function fromResponseOp({ response }: ResponseOp, revision: number): OpResult {
  switch (response.case) {
    case "responsePut":
      return { type: "put", ...fromPut(response.value, revision) };
    case "responseDeleteRange":
      return { type: "delete", ...fromDelete(response.value, revision) };
    case "responseTxn":
      return { type: "txn", ...fromTxn(response.value, revision) };
    case "responseRange":
      return { type: "get", ...fromRange(response.value, revision) };
    case undefined:
      return { type: "get", revision, kvs: [], more: false, count: 0 };
    default:
      return unreachable(response, "response");
  }
}
