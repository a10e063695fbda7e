import { CoreError } from "@keelson/types";

/** The disk is full, or the store's own limit is reached. What was begun is gone again. */
export class StoreFullError extends CoreError<"ERR_STORE_FULL"> {
  readonly code = "ERR_STORE_FULL";
}

/** No image of that name or id; or several, of which the message lists the ids. */
export class ImageNotFoundError extends CoreError<"ERR_IMAGE_NOT_FOUND"> {
  readonly code = "ERR_IMAGE_NOT_FOUND";
}

/** A pod needs the image. */
export class ImageInUseError extends CoreError<"ERR_IMAGE_IN_USE"> {
  readonly code = "ERR_IMAGE_IN_USE";
}

/** The store's directory cannot be used. */
export class StoreError extends CoreError<"ERR_STORE"> {
  readonly code = "ERR_STORE";
}

/** A layout or archive that is not one, or lacks a file that it names. */
export class ArchiveError extends CoreError<"ERR_ARCHIVE"> {
  readonly code = "ERR_ARCHIVE";
}
