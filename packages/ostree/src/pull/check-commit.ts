import { decodeCommit, lookupMetadata } from "../core/decode.ts";
import type { Checksum, Commit } from "../core/objects.ts";
import { verifySignatures } from "../sign/verify.ts";
import { OstreeBadObjectError, OstreeBadRefError, OstreeBadSignatureError, OstreeDowngradeError } from "./errors.ts";
import type { PullOptions } from "./options.ts";

/** A commit that may be pulled. */
export interface TrustedCommit {
  readonly commit: Commit;
  /** Base64; undefined where unsigned commits are allowed. */
  readonly signedBy?: string;
}

/** What of the options is about trust. */
export type TrustOptions = Pick<PullOptions, "ref" | "publicKeys" | "revokedKeys" | "allowUnsigned" | "notBefore">;

/**
 * Whether a commit, whose checksum has been verified, is what was asked for: signed, made for the ref, not too old. It is
 * asked before anything of the commit's tree is fetched.
 *
 * @throws OstreeBadSignatureError, OstreeBadRefError, OstreeDowngradeError, OstreeBadObjectError
 */
export function checkCommit(
  checksum: Checksum,
  bytes: Uint8Array,
  commitmeta: Uint8Array | undefined,
  options: TrustOptions,
  url: string,
): TrustedCommit {
  // The signature is over the bytes, so that nothing needs to be decoded before they are trusted.
  const signedBy = checkSignature(checksum, bytes, commitmeta, options, url);
  const commit = decode(checksum, bytes, url);
  checkBinding(checksum, commit, options.ref, url);
  checkAge(checksum, commit, options.notBefore, url);
  return { commit, ...(signedBy !== undefined && { signedBy }) };
}

function checkSignature(
  checksum: Checksum,
  bytes: Uint8Array,
  commitmeta: Uint8Array | undefined,
  { publicKeys = [], revokedKeys = [], allowUnsigned = false }: TrustOptions,
  url: string,
): string | undefined {
  if (allowUnsigned && publicKeys.length === 0) return undefined;
  const refuse = (why: string) =>
    new OstreeBadSignatureError(`refused commit ${checksum} of ${url}: ${why}`, { url, commit: checksum });
  if (publicKeys.length === 0) {
    throw refuse("no public key is configured, so that no signature can be trusted; add the key it is signed with");
  }
  const verdict = verifySignatures(bytes, commitmeta, publicKeys, revokedKeys);
  if (verdict.ok) return verdict.key;
  throw refuse(`${verdict.reason}; check which server this is, or add the key that it is signed with`);
}

function decode(checksum: Checksum, bytes: Uint8Array, url: string): Commit {
  try {
    return decodeCommit(bytes);
  } catch (cause) {
    throw new OstreeBadObjectError(url, `commit ${checksum} cannot be read`, { cause });
  }
}

/** A commit may name the refs it was made for, so that a server cannot pass off one branch's commit as another's. */
function checkBinding(checksum: Checksum, commit: Commit, ref: string | undefined, url: string): void {
  const binding = lookupMetadata(commit.metadata, "ostree.ref-binding");
  if (ref === undefined || binding?.type !== "as") return;
  const refs = binding.value as readonly string[];
  if (refs.includes(ref)) return;
  throw new OstreeBadRefError(
    `refused commit ${checksum} of ${url}: it was made for ${refs.join(", ") || "no ref"}, not for ${ref}`,
    { url, commit: checksum, ref, refs },
  );
}

function checkAge(checksum: Checksum, commit: Commit, notBefore: number | undefined, url: string): void {
  if (notBefore === undefined || commit.timestamp >= notBefore) return;
  const time = (seconds: number) => new Date(seconds * 1000).toISOString();
  throw new OstreeDowngradeError(
    `refused commit ${checksum} of ${url}: it is of ${time(commit.timestamp)}, older than ${time(notBefore)}; ` +
      "the server is behind or replays an old release, allow the downgrade if it is wanted",
    { url, commit: checksum, timestamp: commit.timestamp, notBefore },
  );
}
