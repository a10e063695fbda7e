// Unit files: text, settings, names.
export {
  formatUnit,
  parseUnit,
  UNIT_BYTES_MAX,
  UNIT_LINE_LENGTH_MAX,
  type UnitDocument,
  type UnitNode,
  unfoldValue,
  valueOf,
  valuesOf,
} from "./document.ts";
export { addOption, removeOption, setOption } from "./edit.ts";
// Values that only unit managers read.
export {
  ENVIRONMENT_FILE_LENGTH_MAX,
  isVariableName,
  parseEnvironment,
  parseEnvironmentFile,
} from "./environment.ts";
export {
  RequirementsError,
  UnitManagerError,
  UnitManagerUnavailableError,
  UnitNameError,
  UnitNotLoadedError,
  UnitSyntaxError,
  UnitValueError,
} from "./errors.ts";
export { EXEC_COMMANDS_MAX, type ExecCommand, expandVariables, parseExec } from "./exec.ts";
export { type GlobResult, globMatches, matchGlob } from "./glob.ts";
export {
  isInstance,
  isTemplate,
  parseUnitName,
  UNIT_NAME_LENGTH_MAX,
  type UnitNameInfo,
  validateUnitName,
} from "./name.ts";
export { checkOptions, formatOptions, hashOptions, parseOptions, shortHash, type UnitOption } from "./options.ts";
// The port of unit managers; its contract suite is `@keelson/unit/contract`.
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
// [X-Fleet].
export {
  checkRequirements,
  expandFleetSpecifiers,
  FLEET_SECTION,
  metadataMatches,
  type ParsedRequirements,
  parseRequirements,
  type Requirements,
} from "./requirements.ts";
export { expandSpecifiers, type SpecifierHost, unescapeName } from "./specifiers.ts";
export { parseBoolean, parseSignal, parseTimeSpan, SIGNALS, signalName } from "./values.ts";
export { quoteWord, splitWords, type Word } from "./words.ts";
