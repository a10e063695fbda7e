import { CoreError } from "@keelson/types";

/** A unit file that cannot be parsed. `line` and `column` count from 1. */
export class UnitSyntaxError extends CoreError<"ERR_UNIT_SYNTAX"> {
  readonly code = "ERR_UNIT_SYNTAX";
  readonly line: number;
  readonly column: number;

  constructor(problem: string, line: number, column: number) {
    super(`line ${line}, column ${column}: ${problem}`, { line, column });
    this.line = line;
    this.column = column;
  }
}

/** A unit name that upstream's fleet refuses, in its words. */
export class UnitNameError extends CoreError<"ERR_UNIT_NAME"> {
  readonly code = "ERR_UNIT_NAME";
}

/** A setting's value that cannot be parsed. */
export class UnitValueError extends CoreError<"ERR_UNIT_VALUE"> {
  readonly code = "ERR_UNIT_VALUE";
}

/** [X-Fleet] requirements that exclude each other, in upstream's words. */
export class RequirementsError extends CoreError<"ERR_UNIT_REQUIREMENTS"> {
  readonly code = "ERR_UNIT_REQUIREMENTS";
}

/** The unit was never loaded into this manager, or was unloaded. */
export class UnitNotLoadedError extends CoreError<"ERR_UNIT_NOT_LOADED"> {
  readonly code = "ERR_UNIT_NOT_LOADED";

  constructor(name: string) {
    super(`unit ${name} is not loaded; load it first`, { name });
  }
}

/** The manager cannot be reached now: the bus or socket is gone, or it is shutting down. Worth a retry. */
export class UnitManagerUnavailableError extends CoreError<"ERR_UNIT_MANAGER_UNAVAILABLE"> {
  readonly code = "ERR_UNIT_MANAGER_UNAVAILABLE";
}

/** The manager refused or failed an operation for a reason of its own; the text says which. */
export class UnitManagerError extends CoreError<"ERR_UNIT_MANAGER"> {
  readonly code = "ERR_UNIT_MANAGER";
}
