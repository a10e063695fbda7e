import { CoreError, type ErrorDetails } from "@keelson/types";
import type { Metadata } from "./metadata.ts";

/** gRPC status codes, by the names of the specification. */
export const Status = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

// Spelled as grpc-go prints them: dashboards match on `grpc_code="OK"`, `"Unavailable"`.
const NAMES = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
];

/** The name of a status code as grpc-go prints it, such as `Unavailable`. */
export function statusName(status: Status): string {
  return NAMES[status] ?? `Code(${status})`;
}

/** Any number from the wire as a status; unknown ones become UNKNOWN, as the specification says. */
export function toStatus(code: number): Status {
  return Number.isInteger(code) && code >= 0 && code < NAMES.length ? (code as Status) : Status.UNKNOWN;
}

export interface RpcErrorOptions {
  readonly cause?: unknown;
  readonly details?: ErrorDetails;
  /** Sent (server) or received (client) in the trailers beside the status. */
  readonly metadata?: Metadata;
  /** Client only: true when it is certain that the request never left this process. */
  readonly notSent?: boolean;
}

/** A call that ended with a status other than OK. The message is the status message, byte for byte. */
export class RpcError extends CoreError<"ERR_RPC"> {
  readonly code = "ERR_RPC";
  readonly status: Status;
  readonly metadata: Metadata | undefined;
  readonly notSent: boolean;

  constructor(status: Status, message: string, options: RpcErrorOptions = {}) {
    super(message, { status: statusName(status), ...options.details }, { cause: options.cause });
    this.status = status;
    this.metadata = options.metadata;
    this.notSent = options.notSent === true;
  }
}
