export { failsOnlyWith } from "./fails-only-with.ts";
export { type Booted, bootNext, cmdlineOf, installMachine } from "./machine-files.ts";
export { type Made, Publisher } from "./publisher.ts";
export { type Behaviour, SimFleet } from "./sim-fleet.ts";
export { NO_FAULTS, type SimFaults, SimMachine } from "./sim-machine.ts";
export { ALONE, type Shared, TestMachine } from "./test-machine.ts";
