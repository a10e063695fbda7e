// The client and what it gives out.
export { EtcdClient } from "./client.ts";
export { ClusterClient } from "./cluster.ts";
export { type ParsedEndpoint, parseEndpoint } from "./endpoint.ts";
// Errors.
export {
  CompactedError,
  codeOfText,
  EtcdError,
  type EtcdErrorCode,
  LeaseLostError,
  NotOwnerError,
  toEtcdError,
} from "./errors.ts";
export { KeyValue } from "./key-value.ts";
// For those who build keys by hand.
export { leaseHex, prefixEnd, toBytes } from "./keys.ts";
export { compare, op } from "./txn.ts";
export type {
  Bytes,
  CallLimits,
  ClusterMember,
  Compare,
  CompareOperator,
  ContendOptions,
  DeleteOptions,
  DeleteResult,
  Election,
  EndpointHealth,
  EtcdClientOptions,
  GetAllOptions,
  HeldLock,
  KeyRange,
  Leadership,
  Lease,
  LeaseClient,
  LeaseInfo,
  MemberStatus,
  Mutex,
  Op,
  OpResult,
  Ownership,
  PutOptions,
  PutResult,
  RangeOptions,
  RangeResult,
  Txn,
  TxnResult,
  TxnSpec,
  Watch,
  WatchBatch,
  WatchEvent,
  WatchOptions,
} from "./types.ts";
