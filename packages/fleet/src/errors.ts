import { CoreError } from "@keelson/types";

/** The store cannot be reached now. `isOutcomeUnknown` in details: a write may or may not have been carried out. */
export class StoreUnavailableError extends CoreError<"ERR_STORE_UNAVAILABLE"> {
  readonly code = "ERR_STORE_UNAVAILABLE";
}

/** The revisions that a watch was to continue from are gone: read everything again. */
export class StoreCompactedError extends CoreError<"ERR_STORE_COMPACTED"> {
  readonly code = "ERR_STORE_COMPACTED";
}

/** The lease of a session has ended: what was written under it is gone. */
export class SessionLostError extends CoreError<"ERR_SESSION_LOST"> {
  readonly code = "ERR_SESSION_LOST";
}

/** Others kept changing the same keys. Nothing was changed; worth another try. */
export class ContentionError extends CoreError<"ERR_CONTENTION"> {
  readonly code = "ERR_CONTENTION";
}

/** An answer of the API that is not a success. */
export class ApiError extends CoreError<"ERR_API"> {
  readonly code = "ERR_API";
  /** The HTTP status. */
  readonly status: number;

  constructor(status: number, message: string, options?: { cause?: unknown }) {
    super(message, { status }, options);
    this.status = status;
  }
}

/** A flag, variable or file that the program cannot be started with. */
export class ConfigError extends CoreError<"ERR_CONFIG"> {
  readonly code = "ERR_CONFIG";
}
