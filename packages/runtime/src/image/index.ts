// Images on this machine, and where they come from.
export * from "../registry/index.ts";
export * from "../store/index.ts";
export { readImageFile } from "./read-file.ts";
export { digestsInUse, type MachineImages, type MachineImagesOptions, openMachineImages, podImages } from "./system.ts";
