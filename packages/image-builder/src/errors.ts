import { CoreError } from "@keelson/types";

/** The image cannot be built: what, where, and what to do. */
export class ImageBuildError extends CoreError<"ERR_IMAGE_BUILD"> {
  readonly code = "ERR_IMAGE_BUILD";
}

/** A file of `image/` is not what it should be. */
export class ImageDefinitionError extends CoreError<"ERR_IMAGE_DEFINITION"> {
  readonly code = "ERR_IMAGE_DEFINITION";
}

/** The mirror gives other packages than the lock file, and that was forbidden (`--frozen`). */
export class PackageLockError extends CoreError<"ERR_PACKAGE_LOCK"> {
  readonly code = "ERR_PACKAGE_LOCK";
}

/** This host lacks programs or rights; the message says how to get them in one line. */
export class HostToolsError extends CoreError<"ERR_HOST_TOOLS"> {
  readonly code = "ERR_HOST_TOOLS";
}
