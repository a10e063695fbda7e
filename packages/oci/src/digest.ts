import { DigestError } from "./errors.ts";

/** `algorithm:encoded`, such as `sha256:` and 64 hex digits. image-spec descriptor.md "Digests". */
export type Digest = `${string}:${string}`;

/** Algorithms whose digests can be computed here, with the length of their hex. */
const HEX_LENGTH: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };
/** Longest digest that is read; image-spec names no bound, registered algorithms stay below. */
const DIGEST_LENGTH_MAX = 256;
const GRAMMAR = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+$/;

/** Whether `text` follows the grammar, of whatever algorithm. */
export function isDigest(text: string): text is Digest {
  if (text.length > DIGEST_LENGTH_MAX || !GRAMMAR.test(text)) return false;
  const colon = text.indexOf(":");
  const hexLength = HEX_LENGTH[text.slice(0, colon)];
  return (
    hexLength === undefined || (text.length - colon - 1 === hexLength && /^[0-9a-f]+$/.test(text.slice(colon + 1)))
  );
}

/** Reads a digest. Unknown algorithms are kept: they parse, though nothing of them can be verified. @throws DigestError */
export function parseDigest(text: string): {
  readonly digest: Digest;
  readonly algorithm: string;
  readonly encoded: string;
} {
  if (text.length > DIGEST_LENGTH_MAX) throw new DigestError(text, `longer than ${DIGEST_LENGTH_MAX} characters`);
  if (!GRAMMAR.test(text)) throw new DigestError(text, "not of the form algorithm:encoded");
  if (!isDigest(text)) throw new DigestError(text, "not lower-case hex of the algorithm's length");
  const colon = text.indexOf(":");
  return { digest: text, algorithm: text.slice(0, colon), encoded: text.slice(colon + 1) };
}

/** Whether content can be checked against it here: sha256 and sha512. */
export function isVerifiable(digest: Digest): boolean {
  return HEX_LENGTH[digest.slice(0, digest.indexOf(":"))] !== undefined && isDigest(digest);
}

/** As a file name: `sha256-<hex>`. */
export function digestFileName(digest: Digest): string {
  return digest.replace(":", "-");
}
