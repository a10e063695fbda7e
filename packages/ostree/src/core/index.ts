// Objects and their bytes.
export { equalBytes } from "./bytes.ts";
export {
  checkChecksum,
  checksumFromBytes,
  checksumToBytes,
  fromModifiedBase64,
  isChecksum,
  modifiedBase64,
} from "./checksum.ts";
export {
  decodeCommit,
  decodeDirMeta,
  decodeDirTree,
  decodeFileHeader,
  decodeMetadata,
  decodeZlibFileHeader,
  lookupMetadata,
  METADATA_BYTES_MAX,
  metadataString,
  validateMetadataObject,
} from "./decode.ts";
export {
  encodeCommit,
  encodeDirMeta,
  encodeDirTree,
  encodeFileHeader,
  encodeMetadata,
  encodeZlibFileHeader,
} from "./encode.ts";
export * from "./errors.ts";
// The merge of /etc.
export {
  type EtcAction,
  type EtcConflict,
  type EtcEntry,
  type EtcManifest,
  type EtcMergeOptions,
  type EtcMergePlan,
  planEtcMerge,
} from "./etc-merge.ts";
export { decodeVariant } from "./gvariant-decode.ts";
export { encodeVariant, isVariant } from "./gvariant-encode.ts";
// Key files, as config and origins are.
export { formatKeyFile, type KeyFile, parseKeyFile } from "./keyfile.ts";
// Names.
export {
  checkRefName,
  checkRemoteName,
  compareNames,
  isEntryName,
  isRefName,
  looseObjectPath,
  objectExtension,
  parseLooseName,
  parseRefspec,
} from "./names.ts";
export * from "./objects.ts";
// Summaries.
export { decodeSummary, encodeSummary, type Summary, type SummaryRef } from "./summary.ts";
export { type DirDifference, diffDirTrees, type FileDifference } from "./tree-diff.ts";
export type { Metadata, Variant, VariantValue } from "./variant.ts";
