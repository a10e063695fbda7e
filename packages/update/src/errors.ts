import { CoreError } from "@keelson/types";

/** Settings are wrong. Nothing has been started. */
export class UpdateConfigError extends CoreError<"ERR_UPDATE_CONFIG"> {
  readonly code = "ERR_UPDATE_CONFIG";
}

/** The update server cannot be reached, or does not answer in time. */
export class ServerUnreachableError extends CoreError<"ERR_SERVER_UNREACHABLE"> {
  readonly code = "ERR_SERVER_UNREACHABLE";
}

/** The update server refused, or answered with something that is no graph. `kind` is its own machine word, if it gave one. */
export class ServerAnswerError extends CoreError<"ERR_SERVER_ANSWER"> {
  readonly code = "ERR_SERVER_ANSWER";
  readonly kind: string;

  constructor(message: string, kind: string, options?: { cause?: unknown }) {
    super(message, { kind }, options);
    this.kind = kind;
  }
}

/**
 * A commit could not be fetched or is not what was promised. `isFinal`: trying again cannot help, as with a wrong
 * signature.
 */
export class PullError extends CoreError<"ERR_PULL"> {
  readonly code = "ERR_PULL";
  readonly isFinal: boolean;

  constructor(message: string, isFinal: boolean, options?: { cause?: unknown }) {
    super(message, { isFinal }, options);
    this.isFinal = isFinal;
  }
}

/** A port did not do what it was asked to: boot entries, deployments, the lock, systemd. */
export class UpdatePortError extends CoreError<"ERR_UPDATE_PORT"> {
  readonly code = "ERR_UPDATE_PORT";
}

/** The state file cannot be read or written. */
export class StateFileError extends CoreError<"ERR_STATE_FILE"> {
  readonly code = "ERR_STATE_FILE";
}

/** The agent's socket does not answer, or answers with a refusal. */
export class AgentApiError extends CoreError<"ERR_AGENT_API"> {
  readonly code = "ERR_AGENT_API";
}
