import { sign } from "node:crypto";
import { equalBytes } from "../core/bytes.ts";
import { decodeMetadata, lookupMetadata } from "../core/decode.ts";
import { encodeMetadata } from "../core/encode.ts";
import { OstreeNotFoundError } from "../core/errors.ts";
import type { Checksum } from "../core/objects.ts";
import type { Metadata } from "../core/variant.ts";
import type { Repo } from "../repo/port.ts";
import { parsePrivateKey } from "./keys.ts";
import { ED25519_KEY, type Verdict, verifySignatures } from "./verify.ts";

/** Detached metadata of a commit; undefined when it has none. */
export async function readCommitMeta(repo: Repo, commit: Checksum): Promise<Uint8Array | undefined> {
  try {
    return await repo.readMetadata("commitmeta", commit);
  } catch (error) {
    if (error instanceof OstreeNotFoundError) return undefined;
    throw error;
  }
}

/** Adds an Ed25519 signature to a commit's detached metadata; others stay. Signing twice with a key changes nothing. */
export async function signCommit(repo: Repo, commit: Checksum, privateKey: string): Promise<void> {
  const key = parsePrivateKey(privateKey);
  const signature = new Uint8Array(sign(null, await repo.readMetadata("commit", commit), key));
  await using transaction = await repo.transaction();
  const before = await readCommitMeta(repo, commit);
  const metadata = before === undefined ? [] : decodeMetadata(before);
  const existing = lookupMetadata(metadata, ED25519_KEY);
  const signatures = existing?.type === "aay" ? (existing.value as readonly Uint8Array[]) : [];
  // Ed25519 is deterministic: the same key gives the same signature.
  if (signatures.some((other) => equalBytes(other, signature))) return;
  const next: Metadata = [
    ...metadata.filter(([name]) => name !== ED25519_KEY),
    [ED25519_KEY, { type: "aay", value: [...signatures, signature] }],
  ];
  await transaction.writeMetadata("commitmeta", encodeMetadata(next), commit);
  await transaction.commit();
}

/** Whether the commit in the repository is signed by a trusted key. @throws {OstreeNotFoundError} no such commit */
export async function verifyCommit(
  repo: Repo,
  commit: Checksum,
  publicKeys: readonly string[],
  revokedKeys: readonly string[] = [],
): Promise<Verdict> {
  const bytes = await repo.readMetadata("commit", commit);
  return verifySignatures(bytes, await readCommitMeta(repo, commit), publicKeys, revokedKeys);
}
