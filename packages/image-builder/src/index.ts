export { type BuildOptions, buildImage, defaultCacheDir, defaultOutput } from "./build.ts";
export { ensureImage } from "./ensure.ts";
export { HostToolsError, ImageBuildError, ImageDefinitionError, PackageLockError } from "./errors.ts";
export { findProgram, whyNotBuild } from "./host.ts";
export { type ImageManifest, type ImagePaths, imagePaths, readManifest } from "./manifest.ts";
export { type Progress, silentProgress } from "./progress.ts";
export { type PinnedImage, pinImage } from "./store.ts";
