export type { Timing } from "../node-config.ts";
export {
  type Acceleration,
  type Firmware,
  machineArguments,
  qemuArguments,
  type VmDisk,
  type VmOptions,
} from "./arguments.ts";
export { type CreateQemuProviderOptions, createQemuProvider } from "./create.ts";
export { type DirectBoot, decideDirectBoot } from "./direct.ts";
export { type Unflushed } from "./disk/write-cache.ts";
export { probeAcceleration } from "./kvm.ts";
export { QemuMachine, type VmEvent } from "./machine.ts";
export type { FirmwareKind } from "./power.ts";
export { QemuProvider, type QemuProviderOptions, whyNotQemu } from "./provider.ts";
