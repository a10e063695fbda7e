export { crc32c } from "./crc32c.ts";
export { AssertionError, assert, CoreError, type ErrorDetails, formatErrorChain, unreachable } from "./errors.ts";
export {
  type ClusterId,
  hexId,
  type LeaseId,
  type MachineId,
  type MemberId,
  type Revision,
  type UnitName,
} from "./ids.ts";
export { type Clock, type LogFields, type Logger, type LogLevel, type Random, silentLogger } from "./ports.ts";
