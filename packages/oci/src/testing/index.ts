// For tests of packages that handle layers.
export { type BuiltImage, buildLayer, listImage } from "./build.ts";
export { concat, type MadeEntry, makeTar, paxRecords } from "./make-tar.ts";
