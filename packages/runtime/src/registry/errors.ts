import { CoreError } from "@keelson/types";

/** Why a registry did not answer as asked; for programs and tests. */
export type RegistryProblem =
  | "unreachable"
  | "unauthorized"
  | "not-found"
  | "rate-limited"
  | "server-error"
  | "protocol"
  | "redirect"
  | "blocked"
  | "too-large";

/** A registry cannot be reached, refuses, or does not speak the protocol. No secret is in it. */
export class RegistryError extends CoreError<"ERR_REGISTRY"> {
  readonly code = "ERR_REGISTRY";
  readonly problem: RegistryProblem;

  constructor(problem: RegistryProblem, message: string, options?: { cause?: unknown }) {
    super(message, { problem }, options);
    this.problem = problem;
  }
}

/** Why content is not what was asked for. */
export type ContentProblem =
  | "digest"
  | "size"
  | "media-type"
  | "encoding"
  | "limit"
  | "diff-id"
  | "layers"
  | "compression";

/** Content that is not what its descriptor says. Nothing of it was kept. */
export class ContentError extends CoreError<"ERR_CONTENT"> {
  readonly code = "ERR_CONTENT";
  readonly problem: ContentProblem;

  constructor(problem: ContentProblem, message: string, options?: { cause?: unknown }) {
    super(message, { problem }, options);
    this.problem = problem;
  }
}

/** A file with credentials or with registries cannot be used: which, where, and why. */
export class RegistryConfigError extends CoreError<"ERR_REGISTRY_CONFIG"> {
  readonly code = "ERR_REGISTRY_CONFIG";
}
