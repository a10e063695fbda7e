export {
  RequirementsError,
  UnitManagerError,
  UnitManagerUnavailableError,
  UnitNameError,
  UnitNotLoadedError,
  UnitSyntaxError,
  UnitValueError,
} from "./errors.ts";
export type {
  ActiveState,
  JobOptions,
  JobResult,
  JournalOptions,
  LoadState,
  UnitFile,
  UnitManager,
  UnitStatus,
} from "./ports.ts";
