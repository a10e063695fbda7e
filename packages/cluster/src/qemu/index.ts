export type { Timing } from "../node-config.ts";
export { type Acceleration, qemuArguments, type VmOptions } from "./arguments.ts";
export { type CreateQemuProviderOptions, createQemuProvider } from "./create.ts";
export { probeAcceleration } from "./kvm.ts";
export { QemuMachine } from "./machine.ts";
export { QemuProvider, type QemuProviderOptions, whyNotQemu } from "./provider.ts";
