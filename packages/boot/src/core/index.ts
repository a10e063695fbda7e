export {
  BOOT_STAGES,
  BOOTLOG_SECTORS,
  type BootlogHead,
  type BootRecord,
  type BootStage,
  decodeHead,
  decodeRecord,
  emptyHead,
  encodeHead,
  encodeRecord,
  readBootlog,
  recordSector,
} from "./bootlog.ts";
export { type BootDecision, decideBoot } from "./decide.ts";
export {
  argumentOf,
  checkOptions,
  formatEntryFile,
  formatGrubEntry,
  parseEntryFile,
  parseGrubEntry,
} from "./entry-file.ts";
export { type EntryName, entryId, formatEntryName, isTries, numberOf, parseEntryName } from "./entry-name.ts";
export { BootEntryError, BootStateError, EspFullError } from "./errors.ts";
export { GPT_SECTORS, type GptGrowth, growGpt } from "./gpt-grow.ts";
export { grubConfig, loaderConf } from "./grub-config.ts";
export {
  decodeGrubenv,
  encodeGrubenv,
  GRUBENV_BYTES,
  grubenvFromView,
  SECTOR_BYTES,
  viewFromGrubenv,
} from "./grubenv.ts";
export {
  deploymentOf,
  deploymentPath,
  ESP_PATHS,
  grubEntryPath,
  kernelPaths,
  PARTITION_NAMES,
  TRIES_DEFAULT,
  TRIES_MAX,
} from "./layout.ts";
export { entryOptions } from "./options.ts";
export { type BootTarget, describeStep, type EspListing, type EspStep, planTransition } from "./plan.ts";
export { type EspSnapshot, readBootState, viewFromNames } from "./read-state.ts";
export { explainFailure, type FailureReason } from "./reason.ts";
export { type BootEntry, type BootState, type Firmware, type LoaderView, type Trial, viewOf } from "./state.ts";
