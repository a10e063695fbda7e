import { crc32 } from "node:zlib";
import { StoreCorruptError } from "./errors.ts";

/** Bytes that the checksum adds in front of each stored value. */
export const CHECKSUM_BYTES = 4;

/** FNV-1a of the key as the start of the CRC: a second call of zlib for some 20 bytes would cost more than all the rest. */
function checksum(key: Uint8Array, value: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ (key[i] as number), 0x01000193);
  return crc32(value, hash >>> 0);
}

/**
 * A value as it is stored: a checksum of key and value, then the value. LevelDB keeps a checksum per block, but neither its reads
 * nor its compactions verify it by default and classic-level offers no way to ask; this one is verified at every read.
 */
export function seal(key: Uint8Array, value: Uint8Array): Uint8Array {
  const stored = Buffer.allocUnsafe(CHECKSUM_BYTES + value.length);
  stored.writeUInt32LE(checksum(key, value), 0);
  stored.set(value, CHECKSUM_BYTES);
  return stored;
}

/** The inverse of {@link seal}; a view, no copy. Throws {@link StoreCorruptError} when key and value are not as written. */
export function unseal(key: Uint8Array, stored: Uint8Array): Uint8Array {
  if (stored.length >= CHECKSUM_BYTES) {
    const value = new Uint8Array(stored.buffer, stored.byteOffset + CHECKSUM_BYTES, stored.length - CHECKSUM_BYTES);
    const sum = (stored[0] as number) | ((stored[1] as number) << 8) | ((stored[2] as number) << 16);
    if ((sum | ((stored[3] as number) << 24)) >>> 0 === checksum(key, value)) return value;
  }
  throw new StoreCorruptError("a stored value does not match its checksum", { key: Buffer.from(key).toString("hex") });
}
