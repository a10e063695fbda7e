import { CoreError } from "@keelson/types";

/** Release metadata, a graph, an answer or a file is not what it should be. The message says where and why. */
export class FormatError extends CoreError<"ERR_FORMAT"> {
  readonly code = "ERR_FORMAT";
}
