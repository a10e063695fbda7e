import { RpcError, Status } from "@keelson/grpc";
import { CoreError, type ErrorDetails } from "@keelson/types";

/** etcd's error texts (api/v3rpc/rpctypes/error.go) with a stable code each. The prefix `etcdserver: ` is left out. */
const CODES = {
  "key is not provided": "ERR_EMPTY_KEY",
  "key not found": "ERR_KEY_NOT_FOUND",
  "value is provided": "ERR_VALUE_PROVIDED",
  "lease is provided": "ERR_LEASE_PROVIDED",
  "too many operations in txn request": "ERR_TOO_MANY_OPS",
  "duplicate key given in txn request": "ERR_DUPLICATE_KEY",
  "invalid client api version": "ERR_INVALID_CLIENT_API_VERSION",
  "invalid sort option": "ERR_INVALID_SORT_OPTION",
  "mvcc: required revision has been compacted": "ERR_COMPACTED",
  "mvcc: required revision is a future revision": "ERR_FUTURE_REV",
  "mvcc: database space exceeded": "ERR_NO_SPACE",
  "requested lease not found": "ERR_LEASE_NOT_FOUND",
  "lease already exists": "ERR_LEASE_EXIST",
  "too large lease TTL": "ERR_LEASE_TTL_TOO_LARGE",
  "watch canceled": "ERR_WATCH_CANCELED",
  "member ID already exist": "ERR_MEMBER_EXIST",
  "Peer URLs already exists": "ERR_PEER_URL_EXIST",
  "re-configuration failed due to not enough started members": "ERR_MEMBER_NOT_ENOUGH_STARTED",
  "given member URLs are invalid": "ERR_MEMBER_BAD_URLS",
  "member not found": "ERR_MEMBER_NOT_FOUND",
  "can only promote a learner member": "ERR_MEMBER_NOT_LEARNER",
  "can only promote a learner member which is in sync with leader": "ERR_LEARNER_NOT_READY",
  "too many learner members in cluster": "ERR_TOO_MANY_LEARNERS",
  "cluster ID mismatch": "ERR_CLUSTER_ID_MISMATCH",
  "request is too large": "ERR_REQUEST_TOO_LARGE",
  "too many requests": "ERR_TOO_MANY_REQUESTS",
  "root user does not exist": "ERR_ROOT_USER_NOT_EXIST",
  "root user does not have root role": "ERR_ROOT_ROLE_NOT_EXIST",
  "user name already exists": "ERR_USER_EXIST",
  "user name is empty": "ERR_USER_EMPTY",
  "user name not found": "ERR_USER_NOT_FOUND",
  "role name already exists": "ERR_ROLE_EXIST",
  "role name not found": "ERR_ROLE_NOT_FOUND",
  "role name is empty": "ERR_ROLE_EMPTY",
  "authentication failed, invalid user ID or password": "ERR_AUTH_FAILED",
  "permission not given": "ERR_PERMISSION_NOT_GIVEN",
  "permission denied": "ERR_PERMISSION_DENIED",
  "role is not granted to the user": "ERR_ROLE_NOT_GRANTED",
  "permission is not granted to the role": "ERR_PERMISSION_NOT_GRANTED",
  "authentication is not enabled": "ERR_AUTH_NOT_ENABLED",
  "invalid auth token": "ERR_INVALID_AUTH_TOKEN",
  "invalid auth management": "ERR_INVALID_AUTH_MGMT",
  "revision of auth store is old": "ERR_AUTH_OLD_REVISION",
  "no leader": "ERR_NO_LEADER",
  "not leader": "ERR_NOT_LEADER",
  "leader changed": "ERR_LEADER_CHANGED",
  "not capable": "ERR_NOT_CAPABLE",
  "server stopped": "ERR_STOPPED",
  "request timed out": "ERR_TIMEOUT",
  "request timed out, possibly due to previous leader failure": "ERR_TIMEOUT_LEADER_FAIL",
  "request timed out, possibly due to connection lost": "ERR_TIMEOUT_CONNECTION_LOST",
  "request timed out, waiting for the applied index took too long": "ERR_TIMEOUT_WAIT_APPLIED_INDEX",
  "unhealthy cluster": "ERR_UNHEALTHY",
  "corrupt cluster": "ERR_CORRUPT",
  "rpc not supported for learner": "ERR_NOT_SUPPORTED_FOR_LEARNER",
  "bad leader transferee": "ERR_BAD_LEADER_TRANSFEREE",
  "wrong downgrade target version format": "ERR_WRONG_DOWNGRADE_VERSION_FORMAT",
  "invalid downgrade target version": "ERR_INVALID_DOWNGRADE_TARGET_VERSION",
  "cluster version not found during downgrade": "ERR_CLUSTER_VERSION_UNAVAILABLE",
  "cluster has a downgrade job in progress": "ERR_DOWNGRADE_IN_PROCESS",
  "no inflight downgrade job": "ERR_NO_INFLIGHT_DOWNGRADE",
  "request canceled": "ERR_CANCELED",
  "context deadline exceeded": "ERR_DEADLINE_EXCEEDED",
} as const;

/** What went wrong, for programs. The last ones are the client's own or of the transport. */
export type EtcdErrorCode =
  | (typeof CODES)[keyof typeof CODES]
  | "ERR_UNAVAILABLE"
  | "ERR_CLIENT_CLOSED"
  | "ERR_LEASE_LOST"
  | "ERR_NOT_OWNER"
  | "ERR_INVALID_ENDPOINT"
  | "ERR_RPC";

export interface EtcdErrorOptions {
  readonly status?: Status;
  readonly cause?: unknown;
  readonly details?: ErrorDetails;
  readonly outcomeUnknown?: boolean;
}

/** A request that failed. The message is the server's text, byte for byte, when a server spoke. */
export class EtcdError extends CoreError<EtcdErrorCode> {
  readonly code: EtcdErrorCode;
  readonly status: Status;
  /** A write that may or may not have been applied, now or later. It was not retried. */
  readonly outcomeUnknown: boolean;

  constructor(code: EtcdErrorCode, message: string, options: EtcdErrorOptions = {}) {
    super(message, options.details ?? {}, { cause: options.cause });
    this.code = code;
    this.status = options.status ?? Status.UNKNOWN;
    this.outcomeUnknown = options.outcomeUnknown === true;
  }
}

/** The wanted revision no longer exists. Read anew, and watch from the revision after that read. */
export class CompactedError extends EtcdError {
  /** The oldest revision that can still be watched; 0 when the server did not say. */
  readonly compactRevision: number;

  constructor(compactRevision: number, cause?: unknown) {
    super("ERR_COMPACTED", "etcdserver: mvcc: required revision has been compacted", {
      status: Status.OUT_OF_RANGE,
      details: { compactRevision },
      cause,
    });
    this.compactRevision = compactRevision;
  }
}

/** The lease is over, so all that hung on it is gone. */
export class LeaseLostError extends EtcdError {
  constructor(leaseId: bigint, why: "expired" | "revoked" | "closed" | "gone", cause?: unknown) {
    const text = {
      expired: "was not renewed in time",
      revoked: "was revoked",
      closed: "is no longer renewed: the client is closed",
      gone: "does not exist any more at the server",
    }[why];
    super("ERR_LEASE_LOST", `lease ${leaseId.toString(16).padStart(16, "0")} ${text}`, {
      details: { leaseId, why },
      cause,
    });
  }
}

/** The election or lock is not (any more) ours. */
export class NotOwnerError extends EtcdError {
  constructor(key: string) {
    super("ERR_NOT_OWNER", `${key} is not the owner`, { details: { key } });
  }
}

/** The code of a server's text, or undefined when it is none of etcd's. */
export function codeOfText(text: string): EtcdErrorCode | undefined {
  const known = text.startsWith("etcdserver: ") ? text.slice("etcdserver: ".length) : undefined;
  return known === undefined || !Object.hasOwn(CODES, known) ? undefined : CODES[known as keyof typeof CODES];
}

/** What the client throws for a failed call. */
export function toEtcdError(error: unknown, options: { write?: boolean; endpoint?: string } = {}): EtcdError {
  if (error instanceof EtcdError) return error;
  if (!(error instanceof RpcError)) {
    return new EtcdError("ERR_RPC", error instanceof Error ? error.message : String(error), { cause: error });
  }
  const code = codeOfText(error.message) ?? fallbackCode(error.status);
  if (code === "ERR_COMPACTED") return new CompactedError(0, error);
  return new EtcdError(code, error.message, {
    status: error.status,
    cause: error,
    details: { endpoint: options.endpoint },
    outcomeUnknown: options.write === true && isAmbiguous(error),
  });
}

function fallbackCode(status: Status): EtcdErrorCode {
  if (status === Status.UNAVAILABLE) return "ERR_UNAVAILABLE";
  if (status === Status.DEADLINE_EXCEEDED) return "ERR_DEADLINE_EXCEEDED";
  if (status === Status.CANCELLED) return "ERR_CANCELED";
  return "ERR_RPC";
}

// Anything that is not a clear refusal by a server may have happened before or after the write was applied.
const AMBIGUOUS: ReadonlySet<Status> = new Set([
  Status.UNAVAILABLE,
  Status.DEADLINE_EXCEEDED,
  Status.CANCELLED,
  Status.INTERNAL,
  Status.UNKNOWN,
  Status.ABORTED,
]);

// Refusals that travel with an ambiguous status.
const REFUSED: ReadonlySet<EtcdErrorCode> = new Set(["ERR_TOO_MANY_REQUESTS", "ERR_MEMBER_NOT_ENOUGH_STARTED"]);

function isAmbiguous(error: RpcError): boolean {
  const code = codeOfText(error.message);
  return !error.notSent && AMBIGUOUS.has(error.status) && (code === undefined || !REFUSED.has(code));
}
