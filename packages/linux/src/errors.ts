import { CoreError } from "@keelson/types";

/** A program that was run failed: its name, how it ended and what it said last. */
export class CommandError extends CoreError<"ERR_COMMAND"> {
  readonly code = "ERR_COMMAND";
}

/** Another process manages this directory. */
export class DirectoryLockedError extends CoreError<"ERR_DIRECTORY_LOCKED"> {
  readonly code = "ERR_DIRECTORY_LOCKED";
}

/** The machine cannot do what was asked: not Linux, not root, a program is missing. */
export class UnsupportedError extends CoreError<"ERR_UNSUPPORTED"> {
  readonly code = "ERR_UNSUPPORTED";
}

/** A system container could not be started or did not do what was asked of it. */
export class ContainerError extends CoreError<"ERR_CONTAINER"> {
  readonly code = "ERR_CONTAINER";
}
