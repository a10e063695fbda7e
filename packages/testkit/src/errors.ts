import { CoreError } from "@keelson/types";

/** A condition did not come true in time. `cause` is the last failure of the condition, if it threw. */
export class TimeoutError extends CoreError<"ERR_TEST_TIMEOUT"> {
  readonly code = "ERR_TEST_TIMEOUT";
}

/** A program of a test could not be started, or ended when it should not. `details.output` is the end of its output. */
export class ProgramError extends CoreError<"ERR_TEST_PROGRAM"> {
  readonly code = "ERR_TEST_PROGRAM";
}
