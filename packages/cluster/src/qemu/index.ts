export { type Acceleration, qemuArguments, type VmOptions } from "./arguments.ts";
export { probeAcceleration } from "./kvm.ts";
export { QemuMachine } from "./machine.ts";
export { type Timing } from "./node-config.ts";
export { defaultImageDirectory, QemuProvider, type QemuProviderOptions, whyNotQemu } from "./provider.ts";
