export { ClusterError, MachineStateError, ProviderUnavailableError } from "./errors.ts";
export { ControlClient } from "./host/control-client.ts";
export {
  ClusterHost,
  type ClusterHostOptions,
  type ClusterInfo,
  type MachineInfo,
  type ProviderFactory,
} from "./host/host.ts";
export { clusterDirectory, sweepDirectory } from "./host/record.ts";
export type {
  ExecResult,
  Machine,
  MachineProvider,
  MachineService,
  MachineSpec,
  MachineState,
  PowerCutReport,
  Supports,
} from "./port.ts";
export { type Programs, programsOfRepository } from "./process/programs.ts";
export { ProcessProvider, type ProcessProviderOptions } from "./process/provider.ts";
export { type ServiceAddress, type Services, serviceAddress } from "./services/open.ts";
export { checkSpecs, MACHINES_MAX, makeSpecs } from "./spec.ts";
export { waitFor } from "./wait.ts";
