// Pure: encodings, names, plans.
export * from "./core/index.ts";

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
