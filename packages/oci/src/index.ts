// Names of images and of content.

// What registries say in headers.
export { type Challenge, parseChallenges } from "./challenge.ts";
// Documents.
export { CONFIG_BYTES_MAX, type ExposedPort, type ImageConfig, parseConfig, type RunConfig } from "./config.ts";
export { type Digest, digestFileName, isDigest, isVerifiable, parseDigest } from "./digest.ts";
export { EROFS_BLOCK, readSuperblock, SEAL_BYTES, sealSuperblock, unsealSuperblock } from "./erofs/format.ts";
export { ErofsReader, type ReadAt, type ReadDirent, type ReadInode } from "./erofs/reader.ts";
export type { Patch } from "./erofs/writer.ts";
// Errors.
export {
  DigestError,
  ImageDocumentError,
  ImageReferenceError,
  LayerError,
  type LayerProblem,
  PlatformError,
  UserLookupError,
} from "./errors.ts";
export { type ContentRange, parseContentRange, parseNextLink, parseRetryAfter } from "./http.ts";
export { type Json, type JsonObject, parseJson } from "./json.ts";
// Layers.
export { type BuiltLayer, LayerBuilder, type LayerStats } from "./layer/builder.ts";
export type { DevicePolicy, LayerLimits } from "./layer/limits.ts";
export { type FoundFile, findInLayers } from "./layer/lookup.ts";
export {
  blobPath,
  checkLayout,
  layoutName,
  parseLayoutIndex,
  parseSaved,
  REF_NAME,
  type SavedImage,
} from "./layout.ts";
export {
  type Descriptor,
  type Index,
  LAYERS_MAX,
  type LayerDescriptor,
  MANIFEST_BYTES_MAX,
  type Manifest,
  type Platform,
  parseManifest,
} from "./manifest.ts";
export {
  ACCEPT_MANIFESTS,
  bareMediaType,
  type Compression,
  documentKind,
  layerCompression,
  MEDIA_TYPES,
  sniffCompression,
} from "./media-types.ts";
// How an image is run.
export { type ResolvedUser, resolveUser, type UserFiles } from "./passwd.ts";
export { choosePlatform, formatPlatform, normalisePlatform, platformDistance } from "./platform.ts";
export { type ProcessDefaults, type ProcessOverrides, parseSignal, processDefaults } from "./process.ts";
export { Reader } from "./reader.ts";
export { formatReference, type ImageReference, isRegistryHost, parseReference, shortReference } from "./reference.ts";
export type { EntryKind } from "./tar/header.ts";
export { type TarEntry, type TarHandler, TarScanner } from "./tar/scanner.ts";
