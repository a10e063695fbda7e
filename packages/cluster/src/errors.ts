import { CoreError } from "@keelson/types";

/** A machine or cluster could not do what was asked; the text says what, where and what to do. */
export class ClusterError extends CoreError<"ERR_CLUSTER"> {
  readonly code = "ERR_CLUSTER";
}

/** The operation does not fit the machine's state, such as pausing a machine that is stopped. */
export class MachineStateError extends CoreError<"ERR_MACHINE_STATE"> {
  readonly code = "ERR_MACHINE_STATE";
}

/** This host cannot run machines of that kind: what is missing and how to get it. */
export class ProviderUnavailableError extends CoreError<"ERR_PROVIDER_UNAVAILABLE"> {
  readonly code = "ERR_PROVIDER_UNAVAILABLE";
}
