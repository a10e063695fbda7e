export { ClusterError, MachineStateError, ProviderUnavailableError } from "./errors.ts";
export type { ExecResult, Machine, MachineProvider, MachineService, MachineSpec, MachineState } from "./port.ts";
export { ProcessProvider, type ProcessProviderOptions } from "./process/provider.ts";
export { checkSpecs, makeSpecs } from "./spec.ts";
export { waitFor } from "./wait.ts";
