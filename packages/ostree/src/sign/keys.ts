import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { OstreeSignError } from "../core/errors.ts";

// RFC 8410: what stands before the 32 bytes of an Ed25519 key in DER.
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** A key pair in upstream's form. */
export interface KeyPair {
  /** 32 bytes as base64. */
  readonly publicKey: string;
  /** 64 bytes, seed and public key, as base64. A secret. */
  readonly privateKey: string;
}

/** Makes a new key pair. */
export function generateKeys(): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const seed = privateKey.export({ format: "der", type: "pkcs8" }).subarray(PKCS8_PREFIX.length);
  const open = rawPublicKey(publicKey);
  return { publicKey: open.toString("base64"), privateKey: Buffer.concat([seed, open]).toString("base64") };
}

function rawPublicKey(key: KeyObject): Buffer {
  return key.export({ format: "der", type: "spki" }).subarray(SPKI_PREFIX.length);
}

function fromBase64(text: string): Buffer | undefined {
  const trimmed = text.trim();
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(trimmed)) return undefined;
  return Buffer.from(trimmed, "base64");
}

/** A public key: base64 of 32 bytes (upstream's) or PEM. Its `id` is the base64. @throws {OstreeSignError} */
export function parsePublicKey(text: string): { readonly id: string; readonly key: KeyObject } {
  try {
    const raw = fromBase64(text);
    const key =
      raw === undefined
        ? createPublicKey(text)
        : createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: "der", type: "spki" });
    if (key.asymmetricKeyType !== "ed25519" || (raw !== undefined && raw.length !== 32)) throw new Error("not Ed25519");
    return { id: rawPublicKey(key).toString("base64"), key };
  } catch (cause) {
    throw new OstreeSignError("not an Ed25519 public key: 32 bytes as base64, or PEM", {}, { cause });
  }
}

/**
 * A private key: base64 of 64 bytes (upstream's: seed, then public key) or 32 (the seed), or PKCS#8 PEM.
 * @throws {OstreeSignError} without any part of the key in its text
 */
export function parsePrivateKey(text: string): KeyObject {
  const raw = fromBase64(text);
  let key: KeyObject;
  try {
    key =
      raw === undefined
        ? createPrivateKey(text)
        : createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, raw.subarray(0, 32)]), format: "der", type: "pkcs8" });
  } catch {
    // The cause could quote the key.
    throw new OstreeSignError("not an Ed25519 private key: 64 bytes as base64, or PKCS#8 PEM");
  }
  if (key.asymmetricKeyType !== "ed25519" || (raw !== undefined && raw.length !== 64 && raw.length !== 32)) {
    throw new OstreeSignError("not an Ed25519 private key: 64 bytes as base64, or PKCS#8 PEM");
  }
  if (raw?.length === 64 && !rawPublicKey(createPublicKey(key)).equals(raw.subarray(32))) {
    throw new OstreeSignError("the private key's halves do not belong together");
  }
  return key;
}
