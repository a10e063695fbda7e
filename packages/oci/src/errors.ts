import { CoreError } from "@keelson/types";

/** An image name that no registry would know. */
export class ImageReferenceError extends CoreError<"ERR_IMAGE_REFERENCE"> {
  readonly code = "ERR_IMAGE_REFERENCE";

  constructor(text: string, problem: string) {
    super(`image name ${quote(text)}: ${problem}`, { text: text.slice(0, 300) });
  }
}

/** Not `algorithm:encoded`, or not in lower-case hex of the algorithm's length. */
export class DigestError extends CoreError<"ERR_DIGEST"> {
  readonly code = "ERR_DIGEST";

  constructor(text: string, problem: string) {
    super(`digest ${quote(text)}: ${problem}`, { text: text.slice(0, 300) });
  }
}

/** An index, manifest, config or layout file that is not what the image-spec says. `at` is where, as `layers[2].size`. */
export class ImageDocumentError extends CoreError<"ERR_IMAGE_DOCUMENT"> {
  readonly code = "ERR_IMAGE_DOCUMENT";
  readonly at: string;

  constructor(what: string, at: string, problem: string) {
    super(`${what}: ${at === "" ? "" : `${at}: `}${problem}`, { what, at });
    this.at = at;
  }
}

/** No image of an index fits the platform. */
export class PlatformError extends CoreError<"ERR_PLATFORM"> {
  readonly code = "ERR_PLATFORM";
}

/** A user or group that the image does not have. */
export class UserLookupError extends CoreError<"ERR_USER_LOOKUP"> {
  readonly code = "ERR_USER_LOOKUP";
}

/** Why a layer was refused; for programs and tests. */
export type LayerProblem =
  | "not-a-tar"
  | "truncated"
  | "bad-name"
  | "escapes"
  | "through-link"
  | "bad-link"
  | "device"
  | "sparse"
  | "bad-whiteout"
  | "bad-attribute"
  | "replaces-directory"
  | "damaged"
  | "limit";

/** A layer that is not a well-formed tar, or that tries a trick. Nothing of it may be used. */
export class LayerError extends CoreError<"ERR_LAYER"> {
  readonly code = "ERR_LAYER";
  readonly problem: LayerProblem;

  constructor(problem: LayerProblem, text: string, entry?: string) {
    super(entry === undefined ? text : `entry ${quote(entry)}: ${text}`, { problem });
    this.problem = problem;
  }
}

/** Text of others in a message: short, and without control characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
