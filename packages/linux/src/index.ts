// Unit managers.

// Machines of real systemd without a VM.
export { Cgroup, findCgroup2 } from "./container/cgroup.ts";
export { sweepContainers } from "./container/records.ts";
export {
  type Bind,
  CONTAINER_STATE_DIRECTORY,
  type ContainerEnd,
  SystemdContainer,
  type SystemdContainerOptions,
  systemdContainerProblem,
} from "./container/systemd-container.ts";
export { BadSettingError } from "./core/service-config.ts";
export { killLeftovers } from "./embedded/leftovers.ts";
export { EmbeddedUnitManager, type EmbeddedUnitManagerOptions } from "./embedded/manager.ts";
// Processes.
export { CommandError, ContainerError, DirectoryLockedError, UnsupportedError } from "./errors.ts";
export { isLive, listProcesses, type ProcessStat, readProcessStat, readProcessVariable } from "./proc.ts";
export { type RunOptions, type RunResult, run } from "./run.ts";
export { type ConnectOptions, connectUnitManager } from "./socket/connect.ts";
export { type RunUnitManagerOptions, runUnitManager } from "./socket/main.ts";
export { serveUnitManager, type UnitManagerServer } from "./socket/serve.ts";
