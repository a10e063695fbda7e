// The agent: a state machine, and what runs it over ports.

// The ports on a real machine.
export { bootFacts, bootPort } from "./adapters/boot.ts";
export { LocksmithLock, locksmithBoard, NO_BOARD } from "./adapters/locksmith.ts";
export { type OstreePortsOptions, ostreePorts, readKeys } from "./adapters/ostree.ts";
export { AgentApi, type ApiFacts } from "./api/server.ts";
export type {
  Agent,
  AgentEvent,
  BootFacts,
  Candidate,
  Clearance,
  Deployed,
  Effect,
  Moment,
  OpEvent,
  Phase,
  Policy,
  StateName,
  Step,
} from "./core/agent/model.ts";
export { type Remembered, startAgent } from "./core/agent/start.ts";
export { stepAgent, whyNot } from "./core/agent/step.ts";
export { type Choice, chooseUpdate, type Denial, findDenial, type Target } from "./core/choose.ts";
export { FormatError } from "./core/errors.ts";
// Graphs, and release metadata, shared with `osctl publish` (which imports it from `@keelson/update/release`).
export { ageIndex, buildGraph, parseGraph, throttleGraph } from "./core/graph.ts";
export { type Graph, type GraphNode, KEY } from "./core/graph-node.ts";
export {
  type Attempt,
  EMPTY_MEMORY,
  encodeMemory,
  type HistoryEntry,
  type Memory,
  parseMemory,
} from "./core/memory.ts";
export {
  addRelease,
  checkChecksum,
  checkVersion,
  DEFAULT_ARCHITECTURE,
  emptyStream,
  encodeReleases,
  parseReleases,
  type Release,
  type ReleaseUpdate,
  type Rollout,
  releasesFileName,
  type StreamReleases,
  setUpdate,
  signatureFileName,
} from "./core/release.ts";
export { describeAgent, describeEntry, type StatusView } from "./core/status.ts";
export { drawWariness, isOffered, openShare, type ThrottleInput } from "./core/throttle.ts";
export { parseToml, type TomlValue } from "./core/toml.ts";
export { type UpdateDeps, Updater } from "./driver.ts";
export { HttpGraphClient } from "./edge/graph-http.ts";
export { SystemdRebooter } from "./edge/reboot.ts";
export { FileStateStore } from "./edge/state-file.ts";
export type { EffectFacts, EffectPorts } from "./effects.ts";
export {
  AgentApiError,
  PullError,
  ServerAnswerError,
  ServerUnreachableError,
  StateFileError,
  UpdateConfigError,
  UpdatePortError,
} from "./errors.ts";
export { CHECK_TIMEOUT_MS, directoryChecks } from "./health/directories.ts";
export { etcdCheck, etcdProbe, type MemberProbe } from "./health/etcd.ts";
export { fleetdCheck } from "./health/fleetd.ts";
// The health gate.
export { type Check, type CheckSource, LocalHealthGate, type Verdict } from "./health/gate.ts";
export { systemdCheck } from "./health/systemd.ts";
export { AgentMetrics, type MetricsFacts } from "./metrics.ts";
export type {
  BootPort,
  CheckResult,
  Deployer,
  GateReport,
  GraphClient,
  GraphQuery,
  HealthGate,
  LockWait,
  Puller,
  PullProgress,
  Rebooter,
  RebootLock,
  RolloutBoard,
  StateStore,
} from "./ports.ts";
export { VERSION } from "./version.ts";
