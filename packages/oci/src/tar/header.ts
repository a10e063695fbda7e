import { LayerError } from "../errors.ts";

/** Bytes of a tar block. POSIX pax(1), "ustar Interchange Format". */
export const BLOCK = 512;

/** Kinds of entries of a file system. */
export type EntryKind = "file" | "directory" | "symlink" | "hardlink" | "char" | "block" | "fifo";

/** A header block as it stands, before extended headers are applied. Names are bytes as Latin-1, one character each. */
export interface RawHeader {
  readonly type: string;
  readonly name: string;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds. */
  readonly mtime: number;
  readonly major: number;
  readonly minor: number;
}

/** Whether the block is all zeros: two of them end an archive. */
export function isZeroBlock(block: Uint8Array): boolean {
  for (let i = 0; i < BLOCK; i++) if (block[i] !== 0) return false;
  return true;
}

/** Reads a header block. @throws LayerError when the checksum or a number is wrong */
export function parseHeader(block: Uint8Array): RawHeader {
  checkSum(block);
  // ustar has a NUL and 00 after the magic; GNU's older form two spaces, and other fields where ustar has the prefix.
  const magic = bytesToText(block.subarray(257, 263));
  const isUstar = magic === "ustar\0";
  const prefix = isUstar ? field(block, 345, 155) : "";
  const name = field(block, 0, 100);
  const hasDevice = magic.startsWith("ustar");
  return {
    type: String.fromCharCode(block[156] ?? 0),
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: field(block, 157, 100),
    mode: number(block, 100, 8, "mode") & 0o7777,
    uid: number(block, 108, 8, "uid"),
    gid: number(block, 116, 8, "gid"),
    size: number(block, 124, 12, "size"),
    mtime: signedNumber(block, 136, 12, "mtime"),
    major: hasDevice ? number(block, 329, 8, "device") : 0,
    minor: hasDevice ? number(block, 337, 8, "device") : 0,
  };
}

function checkSum(block: Uint8Array): void {
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < BLOCK; i++) {
    // The checksum's own field counts as spaces.
    const byte = i >= 148 && i < 156 ? 0x20 : (block[i] ?? 0);
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  const stated = number(block, 148, 8, "checksum");
  // Some old tars added bytes up as signed.
  if (stated !== unsigned && stated !== signed)
    throw new LayerError("not-a-tar", "a header's checksum is wrong: this is not a tar, or it is damaged");
}

function field(block: Uint8Array, offset: number, length: number): string {
  const bytes = block.subarray(offset, offset + length);
  const end = bytes.indexOf(0);
  return bytesToText(end < 0 ? bytes : bytes.subarray(0, end));
}

function number(block: Uint8Array, offset: number, length: number, what: string): number {
  const value = signedNumber(block, offset, length, what);
  if (value < 0) throw new LayerError("not-a-tar", `a header's ${what} is negative`);
  return value;
}

/** Octal text, or GNU's base-256 with the top bit set. */
function signedNumber(block: Uint8Array, offset: number, length: number, what: string): number {
  const first = block[offset] ?? 0;
  if ((first & 0x80) !== 0) return base256(block.subarray(offset, offset + length), what);
  let at = offset;
  const end = offset + length;
  while (at < end && isFiller(block[at])) at++;
  let value = 0;
  for (; at < end && !isFiller(block[at]); at++) {
    const digit = (block[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) throw new LayerError("not-a-tar", `a header's ${what} is not an octal number`);
    value = value * 8 + digit;
  }
  return value;
}

/** A space or NUL around a number. */
function isFiller(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0;
}

function base256(bytes: Uint8Array, what: string): number {
  const isNegative = ((bytes[0] ?? 0) & 0x40) !== 0;
  let value = 0n;
  for (const [i, byte] of bytes.entries()) value = (value << 8n) | BigInt(i === 0 ? byte & 0x7f : byte);
  if (isNegative) value -= 1n << BigInt(bytes.length * 8 - 1);
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw new LayerError("not-a-tar", `a header's ${what} is out of range`);
  return result;
}

/** Bytes as text of one character each, so that names that are not UTF-8 survive. */
export function bytesToText(bytes: Uint8Array): string {
  let text = "";
  // Names are short, and for these a loop is the fastest.
  if (bytes.length < 256) {
    for (const byte of bytes) text += String.fromCharCode(byte);
    return text;
  }
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return text;
}

/** The inverse of {@link bytesToText}. */
export function textToBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
