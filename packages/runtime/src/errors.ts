import { CoreError } from "@keelson/types";

/** The user asked for something that cannot be: a flag's value, a name, a combination. Nothing was changed. */
export class RequestError extends CoreError<"ERR_RUNTIME_REQUEST"> {
  readonly code = "ERR_RUNTIME_REQUEST";
}

/** A document of ours on disk (a plan, a record) is not what it should be. */
export class PlanError extends CoreError<"ERR_RUNTIME_PLAN"> {
  readonly code = "ERR_RUNTIME_PLAN";
}

/** No pod answers to that uuid or name, or several do, or it is not in a state for what was asked. */
export class PodError extends CoreError<"ERR_RUNTIME_POD"> {
  readonly code = "ERR_RUNTIME_POD";
}

/** A network's configuration cannot be used. */
export class NetworkError extends CoreError<"ERR_RUNTIME_NETWORK"> {
  readonly code = "ERR_RUNTIME_NETWORK";
}
