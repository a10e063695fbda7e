// Pure: encodings, names, plans.
export * from "./core/index.ts";
// Deltas.
export { type AppliedDelta, type ApplyDeltaOptions, applyDelta } from "./delta/apply.ts";
export { DELTA_FOLDER, deltaPath, listDeltas } from "./delta/files.ts";
export { type DeltaInfo, type GenerateDeltaOptions, generateDelta } from "./delta/generate.ts";
// Pull, over HTTP and from another local repository.
export {
  type FetchProblem,
  OstreeBadObjectError,
  OstreeBadRefError,
  OstreeBadRemoteError,
  OstreeBadSignatureError,
  OstreeDowngradeError,
  OstreeFetchError,
} from "./pull/errors.ts";
export type { GarbageHint, PullOptions, PullProgress, PullResult } from "./pull/options.ts";
export { pull } from "./pull/pull.ts";
export { type PullLocalOptions, type PullLocalResult, pullLocal } from "./pull/pull-local.ts";
export { checkSpace, type MinFreeSpace, readSpace, type Space } from "./pull/space.ts";
// Repositories.
export { type CheckoutResult, checkout } from "./repo/checkout.ts";
export { commitTree } from "./repo/commit-tree.ts";
export type { RemoteConfig, RepoConfig } from "./repo/config.ts";
export { type CommitDifference, diffCommits } from "./repo/diff.ts";
export { type FilezContent, parseFilez } from "./repo/filez.ts";
export { type FsckOptions, fsck } from "./repo/fsck.ts";
export { fileChecksum, sha256 } from "./repo/hash.ts";
export { loadCommit, loadDirMeta, loadDirTree, walkCommit } from "./repo/load.ts";
export { initRepo, openRepo } from "./repo/open.ts";
export type * from "./repo/options.ts";
export type * from "./repo/port.ts";
export { prune } from "./repo/prune.ts";
export { type SummaryOptions, updateSummary } from "./repo/summary.ts";
// Signatures.
export { generateKeys, type KeyPair, parsePrivateKey, parsePublicKey } from "./sign/keys.ts";
export { readCommitMeta, signCommit, verifyCommit } from "./sign/sign.ts";
export { ED25519_KEY, type Verdict, verifySignatures } from "./sign/verify.ts";
// Sysroots: deployments of a machine.
export type { CleanupOptions, CleanupReport } from "./sysroot/cleanup.ts";
export { bootedIdOf, bootPathOf, type Deployment, parseDeploymentId, STATEROOT } from "./sysroot/deployment.ts";
export { OstreeDeploymentError, OstreeSysrootError, OstreeVerifyError } from "./sysroot/errors.ts";
export { type EtcMergeReport, readManifest } from "./sysroot/etc-merge.ts";
export type { FinalizeReport } from "./sysroot/finalize.ts";
export { initSysroot, type SysrootPaths, sysrootPaths } from "./sysroot/layout.ts";
export type { Origin } from "./sysroot/origin.ts";
export type { StageOptions } from "./sysroot/stage.ts";

export {
  type Finalized,
  type FinalizeOptions,
  type OpenSysrootOptions,
  openSysroot,
  type Sysroot,
  type SysrootPullOptions,
  type SysrootSpace,
} from "./sysroot/sysroot.ts";

export { PROBLEMS_MAX, type VerifyOptions, type VerifyReport, verifyTree } from "./sysroot/verify.ts";
