import { verify } from "node:crypto";
import { decodeMetadata, lookupMetadata } from "../core/decode.ts";
import { OstreeFormatError } from "../core/errors.ts";
import { parsePublicKey } from "./keys.ts";

/** Where upstream keeps Ed25519 signatures in detached metadata: `aay`, each the raw 64 bytes over the commit object. */
export const ED25519_KEY = "ostree.sign.ed25519";
const SIGNATURES_MAX = 64;

/** Whether a commit is signed by a key that is trusted. */
export type Verdict =
  | { readonly ok: true /** The public key, base64. */; readonly key: string }
  | { readonly ok: false /** For people. */; readonly reason: string };

/** The signatures in detached metadata. Undefined when they cannot be read. */
function signaturesOf(commitmeta: Uint8Array): readonly Uint8Array[] | undefined {
  try {
    const variant = lookupMetadata(decodeMetadata(commitmeta), ED25519_KEY);
    if (variant === undefined) return [];
    return variant.type === "aay" ? (variant.value as readonly Uint8Array[]) : undefined;
  } catch (error) {
    if (error instanceof OstreeFormatError) return undefined;
    throw error;
  }
}

/**
 * Verifies signatures over a commit's bytes: one by a trusted key that is not revoked is enough. Nothing of the commit is
 * decoded. @throws {OstreeSignError} a key that is none
 */
export function verifySignatures(
  commit: Uint8Array,
  commitmeta: Uint8Array | undefined,
  publicKeys: readonly string[],
  revokedKeys: readonly string[] = [],
): Verdict {
  const revoked = new Set(revokedKeys.map((key) => parsePublicKey(key).id));
  const keys = publicKeys.map(parsePublicKey);
  if (commitmeta === undefined) return { ok: false, reason: "it is not signed" };
  const signatures = signaturesOf(commitmeta);
  if (signatures === undefined) return { ok: false, reason: "its signatures cannot be read" };
  if (signatures.length === 0) return { ok: false, reason: "it is not signed with Ed25519" };
  if (signatures.length > SIGNATURES_MAX) return { ok: false, reason: "it has too many signatures" };
  let byRevoked: string | undefined;
  for (const { id, key } of keys) {
    if (!signatures.some((signature) => signature.length === 64 && verify(null, commit, key, signature))) continue;
    if (!revoked.has(id)) return { ok: true, key: id };
    byRevoked = id;
  }
  if (byRevoked !== undefined) return { ok: false, reason: `it is signed by a revoked key (${byRevoked})` };
  return {
    ok: false,
    reason: `none of its ${signatures.length} signatures is by one of the ${keys.length} trusted keys`,
  };
}
