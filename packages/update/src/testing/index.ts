export { type Behaviour, SimFleet } from "./sim-fleet.ts";
export { NO_FAULTS, type SimFaults, SimMachine } from "./sim-machine.ts";
