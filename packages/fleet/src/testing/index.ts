// For tests of programs around fleet: a fleetd without etcd and without processes.
export { MemoryAgentMemory } from "../agent/record.ts";
export { Fleetd } from "../fleetd.ts";
export { MemoryEtcd } from "../store/memory-etcd.ts";
export { MemoryFleetStore } from "../store/memory-store.ts";
export { FakeUnitManager } from "./fake-unit-manager.ts";
