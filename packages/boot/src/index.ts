export { readEsp } from "./apply.ts";
export { Bootlog, type SectorDevice, SectorFile } from "./bootlog.ts";
export { type BootParts, EspBootControl, firmwareOf } from "./control.ts";
export * from "./core/index.ts";
export { type BootFiles, bootChecksum, IMAGE_ARGUMENTS_PATH, readBootFiles } from "./deployment.ts";
export { type EspFs, MountedEsp } from "./esp-fs.ts";
export { type GrowOptions, growRoot } from "./grow.ts";
export { type OpenBootOptions, openBoot } from "./open.ts";
export type { BootableDeployment, BootControl, BootStatus, RolledBack } from "./port.ts";
