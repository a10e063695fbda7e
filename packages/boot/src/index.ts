export * from "./core/index.ts";
export type { BootableDeployment, BootControl, BootStatus, RolledBack } from "./port.ts";
