import { CoreError } from "@keelson/types";

/** gRPC statuses by their names; the edge maps them to numbers. */
export type StatusName =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

/**
 * Every refusal the server knows: upstream's status and text, to the letter, because clients compare texts.
 * Two travel as UNKNOWN on purpose (upstream: api/v3rpc/rpctypes/error.go, server/etcdserver/api/v3rpc/util.go).
 */
export const ERRORS = {
  ERR_EMPTY_KEY: ["INVALID_ARGUMENT", "etcdserver: key is not provided"],
  ERR_KEY_NOT_FOUND: ["INVALID_ARGUMENT", "etcdserver: key not found"],
  ERR_VALUE_PROVIDED: ["INVALID_ARGUMENT", "etcdserver: value is provided"],
  ERR_LEASE_PROVIDED: ["INVALID_ARGUMENT", "etcdserver: lease is provided"],
  ERR_TOO_MANY_OPS: ["INVALID_ARGUMENT", "etcdserver: too many operations in txn request"],
  ERR_DUPLICATE_KEY: ["INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request"],
  ERR_INVALID_SORT_OPTION: ["INVALID_ARGUMENT", "etcdserver: invalid sort option"],
  ERR_REQUEST_TOO_LARGE: ["INVALID_ARGUMENT", "etcdserver: request is too large"],
  ERR_BAD_URLS: ["INVALID_ARGUMENT", "etcdserver: given member URLs are invalid"],
  ERR_COMPACTED: ["OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted"],
  ERR_FUTURE_REV: ["OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision"],
  ERR_LEASE_TTL_TOO_LARGE: ["OUT_OF_RANGE", "etcdserver: too large lease TTL"],
  ERR_NO_SPACE: ["RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded"],
  ERR_TOO_MANY_REQUESTS: ["UNKNOWN", "etcdserver: too many requests"],
  ERR_LEASE_NOT_FOUND: ["NOT_FOUND", "etcdserver: requested lease not found"],
  ERR_MEMBER_NOT_FOUND: ["NOT_FOUND", "etcdserver: member not found"],
  ERR_LEASE_EXISTS: ["FAILED_PRECONDITION", "etcdserver: lease already exists"],
  ERR_MEMBER_EXISTS: ["FAILED_PRECONDITION", "etcdserver: member ID already exist"],
  ERR_PEER_URL_EXISTS: ["FAILED_PRECONDITION", "etcdserver: Peer URLs already exists"],
  ERR_MEMBER_NOT_ENOUGH_STARTED: ["UNKNOWN", "etcdserver: re-configuration failed due to not enough started members"],
  ERR_MEMBER_NOT_LEARNER: ["FAILED_PRECONDITION", "etcdserver: can only promote a learner member"],
  ERR_LEARNER_NOT_READY: [
    "FAILED_PRECONDITION",
    "etcdserver: can only promote a learner member which is in sync with leader",
  ],
  ERR_TOO_MANY_LEARNERS: ["FAILED_PRECONDITION", "etcdserver: too many learner members in cluster"],
  ERR_NOT_LEADER: ["FAILED_PRECONDITION", "etcdserver: not leader"],
  ERR_BAD_LEADER_TRANSFEREE: ["FAILED_PRECONDITION", "etcdserver: bad leader transferee"],
  ERR_NOT_SUPPORTED_FOR_LEARNER: ["FAILED_PRECONDITION", "etcdserver: rpc not supported for learner"],
  ERR_AUTH_NOT_ENABLED: ["FAILED_PRECONDITION", "etcdserver: authentication is not enabled"],
  ERR_NO_LEADER: ["UNAVAILABLE", "etcdserver: no leader"],
  ERR_LEADER_CHANGED: ["UNAVAILABLE", "etcdserver: leader changed"],
  ERR_STOPPED: ["UNAVAILABLE", "etcdserver: server stopped"],
  ERR_TIMEOUT: ["UNAVAILABLE", "etcdserver: request timed out"],
  ERR_TIMEOUT_LEADER_FAIL: ["UNAVAILABLE", "etcdserver: request timed out, possibly due to previous leader failure"],
  ERR_TIMEOUT_CONNECTION_LOST: ["UNAVAILABLE", "etcdserver: request timed out, possibly due to connection lost"],
  ERR_TIMEOUT_WAIT_APPLIED_INDEX: [
    "UNAVAILABLE",
    "etcdserver: request timed out, waiting for the applied index took too long",
  ],
  ERR_UNHEALTHY: ["UNAVAILABLE", "etcdserver: unhealthy cluster"],
  ERR_CORRUPT: ["DATA_LOSS", "etcdserver: corrupt cluster"],
  ERR_CANCELED: ["CANCELLED", "etcdserver: request canceled"],
  ERR_UNSUPPORTED: ["UNIMPLEMENTED", "etcdserver: not supported by this server"],
  ERR_RANGE_STREAM_UNSUPPORTED: [
    "UNIMPLEMENTED",
    "etcdserver: range stream supports neither custom sort order nor revision filters",
  ],
} as const satisfies Readonly<Record<string, readonly [StatusName, string]>>;

/** The stable code of each refusal. */
export type EtcdErrorCode = keyof typeof ERRORS;

/** A refusal with upstream's text. `maybeApplied` of a write tells that it may still take effect. */
export class EtcdError extends CoreError<EtcdErrorCode> {
  readonly code: EtcdErrorCode;

  constructor(code: EtcdErrorCode, details: Readonly<Record<string, unknown>> = {}) {
    super(ERRORS[code][1], details);
    this.code = code;
  }

  /** The gRPC status it travels as. */
  get status(): StatusName {
    return ERRORS[this.code][0];
  }
}

/** The member cannot be started as asked: the text names the field, file or key and what to do. */
export class ConfigError extends CoreError<"ERR_ETCD_CONFIG"> {
  readonly code = "ERR_ETCD_CONFIG";
}

/** The data directory is not this member's, or damaged. Nothing was changed. */
export class DataDirError extends CoreError<"ERR_ETCD_DATA_DIR"> {
  readonly code = "ERR_ETCD_DATA_DIR";
}

/** The member stopped by itself, because going on could lose acknowledged data. */
export class MemberFailedError extends CoreError<"ERR_ETCD_MEMBER_FAILED"> {
  readonly code = "ERR_ETCD_MEMBER_FAILED";
}
