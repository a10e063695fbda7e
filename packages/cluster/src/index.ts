export type { ExecResult, Machine, MachineProvider, MachineService, MachineSpec, MachineState } from "./port.ts";
