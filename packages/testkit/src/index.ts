// Symbols for deterministic simulations: seeds, time, network, disk.
export { ByteMap, bytesToKey, keyToBytes } from "./byte-map.ts";
// Symbols for tests with real processes.
export { ProgramError, TimeoutError } from "./errors.ts";
export { type EventuallyOptions, eventually } from "./eventually.ts";
export { withFileLock } from "./file-lock.ts";
export { freePort } from "./free-port.ts";
// Symbols for checking what clients saw.
export { History, type Operation, type PendingOperation } from "./history.ts";
export {
  type KvBasicInput,
  type KvBasicOutput,
  type KvCompare,
  type KvInput,
  type KvOutput,
  type KvPair,
  kvModel,
} from "./kv-model.ts";
export {
  assertLinearizable,
  type CheckOptions,
  checkLinearizability,
  LinearizabilityError,
  type LinearizabilityResult,
  type Model,
} from "./linearizability.ts";
export { Prng } from "./prng.ts";
export {
  type OutputLine,
  type ProcessExit,
  ProcessHandle,
  type ProcessOptions,
  type RunResult,
  runProcess,
  startProcess,
} from "./process-handle.ts";
export { runReadmeExample } from "./readme-example.ts";
export { type RegisterInput, type RegisterOutput, registerModel } from "./register-model.ts";
export { type RunSimOptions, type RunSimResult, runSim } from "./run-sim.ts";
export { SeedFailedError, type SeedRun, type WithSeedsOptions, withSeeds } from "./seeds.ts";
export { SimClock, type SimClockOptions } from "./sim-clock.ts";
export type { SimClockView, ViewOptions } from "./sim-clock-view.ts";
export {
  type CrashReport,
  type DiskFaults,
  DiskFullError,
  type DiskMount,
  type DiskOp,
  DiskSyncError,
  SimDisk,
  type SimDiskOptions,
} from "./sim-disk.ts";
export {
  CALM_LINK,
  type LinkOptions,
  type NetworkEvent,
  ROUGH_LINK,
  SimNetwork,
  type SimNetworkOptions,
} from "./sim-network.ts";
export { type TempDir, tempDir } from "./temp-dir.ts";
export { renderEvent, Trace, type TraceEvent } from "./trace.ts";

// Symbols for tests against upstream's own programs.
export {
  type EtcdVersion,
  runEtcdctl,
  startUpstreamEtcd,
  type UpstreamEtcd,
  type UpstreamEtcdOptions,
  type UpstreamMember,
  upstreamEtcdctl,
  upstreamEtcdServer,
} from "./upstream/upstream-etcd.ts";
export { type DebianSuite, type UpstreamPackage, upstreamPackage } from "./upstream/upstream-package.ts";
