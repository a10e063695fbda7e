// Pods as pure data.

export { type OciConfig, type OciMount, ociConfig } from "./core/bundle.ts";
export { CAPABILITIES, DEFAULT_CAPABILITIES } from "./core/capabilities.ts";
export { type CniChain, type CniStage, cniChains } from "./core/cni.ts";
// `.container` files.
export { type ContainerFile, parseContainerFile, renderContainerUnit } from "./core/container-file.ts";
export { describeFlags, type FlagSpec, type FlagTable, type ParsedFlags, parseFlags } from "./core/flags.ts";
export { type GcAction, type GcOptions, type GcPod, planGc } from "./core/gc.ts";
export { makePlan, type PlanImage, type PlanInput } from "./core/make-plan.ts";
export { type NetworkConfig, parseNetworkConfig } from "./core/network-config.ts";
export {
  type AppPlan,
  checkPlan,
  formatPlan,
  type NetworkPlan,
  PLAN_VERSION,
  type PodPlan,
  parsePlan,
  type VolumePlan,
} from "./core/plan.ts";
export { type PodFile, type PodLayout, podLayout } from "./core/pod-files.ts";
export {
  type AppRequest,
  type InsecureOption,
  isPlainHttpAllowed,
  type PodRequest,
  parseRunArguments,
  RUN_FLAGS,
} from "./core/request.ts";
export { defaultSeccomp, type SeccompFilter } from "./core/seccomp.ts";
export type { AppStatus, EndRecord, PodState, RunRecord, ServiceFacts } from "./core/state.ts";
export { ago, formatTable } from "./core/table.ts";
export {
  appSettings,
  containerId,
  limitSettings,
  type PodUnits,
  renderUnits,
  SCRIPTS,
  serviceName,
  systemdRunArguments,
  type UnitPlan,
  type UnitSetting,
} from "./core/units.ts";
export { parseDuration, parseInteger } from "./core/values.ts";
// Errors.
export { NetworkError, PlanError, PodError, RequestError } from "./errors.ts";
// Images.
export * from "./image/index.ts";
// The pods of this machine.
export type { ImageSource, RuntimeImage } from "./service/images.ts";
export { type PodPlace, PodStore } from "./service/pod-store.ts";
export { loadNetworks, type PrepareOptions, preparePod } from "./service/prepare.ts";
export { bootId, ownProcess, ownService, type ProcessKey } from "./service/process.ts";
export { type GcSettings, PodRuntime, type PodRuntimeOptions, type PodStatus } from "./service/runtime.ts";
export { type ServiceManager, systemctlManager } from "./service/systemd.ts";
