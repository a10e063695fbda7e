// Release metadata, shared with `osctl publish` (which imports it from `@keelson/update/release`).
export { FormatError } from "./core/errors.ts";
export { ageIndex, buildGraph, parseGraph, throttleGraph } from "./core/graph.ts";
export { type Graph, type GraphNode, KEY } from "./core/graph-node.ts";
export {
  addRelease,
  checkChecksum,
  checkVersion,
  DEFAULT_ARCHITECTURE,
  emptyStream,
  encodeReleases,
  parseReleases,
  type Release,
  type ReleaseUpdate,
  type Rollout,
  releasesFileName,
  type StreamReleases,
  setUpdate,
  signatureFileName,
} from "./core/release.ts";
export { drawWariness, isOffered, openShare, type ThrottleInput } from "./core/throttle.ts";
