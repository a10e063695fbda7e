import { CoreError } from "@keelson/types";

/** What locksmith refuses, for programs. The texts are upstream's where upstream has one. */
export type LocksmithErrorCode =
  | "ERR_SEMAPHORE_FULL"
  | "ERR_HOLDER_MISSING"
  | "ERR_INVALID_HOLDER"
  | "ERR_INVALID_MAX"
  | "ERR_SEMAPHORE_FORMAT"
  | "ERR_WINDOW"
  | "ERR_QUORUM"
  | "ERR_QUEUE_FULL"
  | "ERR_CONTENDED"
  | "ERR_HOLD_LOST"
  | "ERR_STRATEGY"
  | "ERR_STRATEGY_OFF"
  | "ERR_STORE_UNAVAILABLE"
  | "ERR_LEASE_GONE"
  | "ERR_REBOOT"
  | "ERR_CONFIG";

/** Everything that locksmith throws on purpose. */
export class LocksmithError extends CoreError<LocksmithErrorCode> {
  readonly code: LocksmithErrorCode;

  constructor(
    code: LocksmithErrorCode,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: { cause?: unknown },
  ) {
    super(message, details, options);
    this.code = code;
  }
}
