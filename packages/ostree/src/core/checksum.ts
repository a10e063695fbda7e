import { OstreeFormatError, OstreeNameError } from "./errors.ts";
import type { Checksum } from "./objects.ts";

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));

/** Whether the text is 64 lower-case hex digits. */
export function isChecksum(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** @throws {OstreeNameError} when it is not a checksum */
export function checkChecksum(text: string): void {
  if (!isChecksum(text)) throw new OstreeNameError(`not a checksum: ${JSON.stringify(text.slice(0, 80))}`);
}

/** 32 bytes as hex. @throws {OstreeFormatError} not 32 bytes */
export function checksumFromBytes(bytes: Uint8Array): Checksum {
  if (bytes.length !== 32) throw new OstreeFormatError("a checksum has 32 bytes", { bytes: bytes.length });
  let text = "";
  for (const byte of bytes) text += HEX[byte];
  return text;
}

/** The 32 bytes of a checksum. @throws {OstreeNameError} */
export function checksumToBytes(checksum: Checksum): Uint8Array {
  checkChecksum(checksum);
  const bytes = new Uint8Array(32);
  for (let i = 0; i < 32; i++) bytes[i] = Number.parseInt(checksum.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+_";

/** Upstream's modified base64: standard, with `_` for `/` and without padding; 43 characters. Names delta files. */
export function modifiedBase64(checksum: Checksum): string {
  const bytes = checksumToBytes(checksum);
  let text = "";
  for (let i = 0; i < 32; i += 3) {
    const word = ((bytes[i] as number) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    for (let k = 18; k >= 0; k -= 6) text += ALPHABET[(word >> k) & 63];
  }
  return text.slice(0, 43);
}

/** The inverse of {@link modifiedBase64}. @throws {OstreeNameError} */
export function fromModifiedBase64(text: string): Checksum {
  if (text.length !== 43) throw new OstreeNameError("not a modified base64 checksum", { chars: text.length });
  const bytes = new Uint8Array(33);
  for (let i = 0; i < 44; i += 4) {
    let word = 0;
    for (let k = 0; k < 4; k++) {
      const digit = i + k === 43 ? 0 : ALPHABET.indexOf(text[i + k] as string);
      if (digit < 0) throw new OstreeNameError("not a modified base64 checksum", { char: text[i + k] });
      word = (word << 6) | digit;
    }
    bytes.set([word >> 16, (word >> 8) & 0xff, word & 0xff], (i / 4) * 3);
  }
  const checksum = checksumFromBytes(bytes.subarray(0, 32));
  if (modifiedBase64(checksum) !== text)
    throw new OstreeNameError("not a modified base64 checksum: unused bits are set");
  return checksum;
}
