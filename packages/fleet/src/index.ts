// The pure core.

// Daemons.
export { Agent, type AgentOptions, type LeaveOptions, type MachineIdentity } from "./agent/agent.ts";
export { type AgentMemory, type AgentMemoryStore, FileAgentMemory, MemoryAgentMemory } from "./agent/record.ts";
// The HTTP API.
export type { ApiContext } from "./api/context.ts";
export type { MachineEntity, UnitEntity, UnitStateEntity, WhyEntity } from "./api/entities.ts";
export { ApiServer } from "./api/server.ts";
export { DEFAULT_ENDPOINT, FleetClient, type FleetClientOptions, parseEndpoint } from "./client/client.ts";
export {
  type FoundUnit,
  planUnit,
  planUnits,
  type UnitStep,
  type UnitTask,
  type WantedUnit,
} from "./core/agent-plan.ts";
export type { ClusterView, Decision, DesiredState, Job, Machine, Plan } from "./core/model.ts";
export {
  type Choice,
  decide,
  explain,
  globalsOn,
  type LoadedMachine,
  type MachineAnswer,
  reconcile,
} from "./core/reconcile.ts";
export { Engine, type EngineOptions } from "./engine/engine.ts";
// Errors.
export {
  ApiError,
  ConfigError,
  ContentionError,
  SessionLostError,
  StoreCompactedError,
  StoreUnavailableError,
} from "./errors.ts";
export { Fleetd, type FleetdOptions, type Reconfiguration } from "./fleetd.ts";
export { type ManagerChoice, type OpenedManager, openManager, runEmbeddedManager } from "./managers.ts";
export { Metrics } from "./metrics.ts";
// The registry.
export { DEFAULT_KEY_PREFIX, Keys } from "./registry/keys.ts";
export type { MachineRecord, StateRecord } from "./registry/records.ts";
export { Registry, type RegistryOptions } from "./registry/registry.ts";
export type { MachineEntry, RegistryView, UnitRecord } from "./registry/view.ts";
export { RegistryWriter } from "./registry/writer.ts";
// The store.
export { EtcdFleetStore } from "./store/etcd-store.ts";
export { MemoryEtcd } from "./store/memory-etcd.ts";
export { MemoryFleetStore, type MemoryStoreOptions } from "./store/memory-store.ts";
export type {
  CommitResult,
  Condition,
  FleetStore,
  Leadership,
  StoreBatch,
  StoreEntry,
  StoreEvent,
  StoreSession,
  StoreSnapshot,
  Write,
} from "./store/port.ts";
export { VERSION } from "./version.ts";
