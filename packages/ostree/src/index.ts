// Pure: encodings, names, plans.
export * from "./core/index.ts";
export { type CheckoutResult, checkout } from "./repo/checkout.ts";
export { commitTree } from "./repo/commit-tree.ts";
// Repositories.
export type { RemoteConfig, RepoConfig } from "./repo/config.ts";
export { type FilezContent, parseFilez } from "./repo/filez.ts";
export { fileChecksum, sha256 } from "./repo/hash.ts";
export { loadCommit, loadDirMeta, loadDirTree, walkCommit } from "./repo/load.ts";
export { initRepo, openRepo } from "./repo/open.ts";
export type * from "./repo/options.ts";
export type * from "./repo/port.ts";
// Signatures.
export { generateKeys, type KeyPair, parsePrivateKey, parsePublicKey } from "./sign/keys.ts";
export { readCommitMeta, signCommit, verifyCommit } from "./sign/sign.ts";
export { ED25519_KEY, type Verdict, verifySignatures } from "./sign/verify.ts";

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
