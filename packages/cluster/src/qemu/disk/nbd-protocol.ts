/**
 * What of the NBD protocol a disk for QEMU needs: the fixed newstyle handshake, simple replies. Follows the protocol
 * document of the NetworkBlockDevice project (doc/proto.md).
 */
export const NBD_MAGIC = 0x4e42444d41474943n;
export const OPTION_MAGIC = 0x49484156454f5054n;
const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;

/** Handshake flags: fixed newstyle, and no 124 zero bytes. */
export const HANDSHAKE_FLAGS = 0b11;
/** Has flags, takes FLUSH, FUA, TRIM and WRITE_ZEROES. */
export const TRANSMISSION_FLAGS = (1 << 0) | (1 << 2) | (1 << 3) | (1 << 5) | (1 << 6);

export const OPTIONS = { exportName: 1, abort: 2, list: 3, info: 6, go: 7 } as const;
export const OPTION_REPLIES = { ack: 1, info: 3, unsupported: 0x8000_0001 } as const;
export const COMMANDS = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, writeZeroes: 6 } as const;
export const COMMAND_FLAG_FUA = 1;
export const ERRORS = { none: 0, io: 5, invalid: 22 } as const;

const INFO_EXPORT = 0;
const REQUEST_BYTES = 28;
const OPTION_HEADER_BYTES = 16;
/** Neither requests nor options are larger; QEMU splits what is. */
export const PAYLOAD_BYTES_MAX = 32 << 20;

export interface NbdOption {
  readonly option: number;
  readonly data: Uint8Array;
}

export interface NbdRequest {
  readonly flags: number;
  readonly command: number;
  /** The client's own name for the request; echoed. */
  readonly cookie: bigint;
  readonly offset: number;
  readonly length: number;
  /** Of a write. */
  readonly data: Uint8Array;
}

/** What the server says first. Pure. */
export function encodeGreeting(): Uint8Array {
  const out = Buffer.alloc(18);
  out.writeBigUInt64BE(NBD_MAGIC, 0);
  out.writeBigUInt64BE(OPTION_MAGIC, 8);
  out.writeUInt16BE(HANDSHAKE_FLAGS, 16);
  return out;
}

/** Pure. */
export function encodeOptionReply(option: number, type: number, data: Uint8Array = new Uint8Array()): Uint8Array {
  const out = Buffer.alloc(20 + data.length);
  out.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
  out.writeUInt32BE(option, 8);
  out.writeUInt32BE(type, 12);
  out.writeUInt32BE(data.length, 16);
  out.set(data, 20);
  return out;
}

/** The answer to the old option EXPORT_NAME: size and flags, as a client that asked for no zeroes takes it. Pure. */
export function encodeExport(sizeBytes: number): Uint8Array {
  const out = Buffer.alloc(10);
  out.writeBigUInt64BE(BigInt(sizeBytes), 0);
  out.writeUInt16BE(TRANSMISSION_FLAGS, 8);
  return out;
}

/** The part of an INFO or GO reply that says what the disk is. Pure. */
export function encodeExportInfo(sizeBytes: number): Uint8Array {
  const out = Buffer.alloc(12);
  out.writeUInt16BE(INFO_EXPORT, 0);
  out.set(encodeExport(sizeBytes), 2);
  return out;
}

/** Pure. */
export function encodeReply(cookie: bigint, error: number, data: Uint8Array = new Uint8Array()): Uint8Array {
  const out = Buffer.allocUnsafe(16 + data.length);
  out.writeUInt32BE(REPLY_MAGIC, 0);
  out.writeUInt32BE(error, 4);
  out.writeBigUInt64BE(cookie, 8);
  out.set(data, 16);
  return out;
}

/**
 * Takes one option off the front of `bytes`: undefined while it is not whole. Pure.
 * @throws RangeError when it is no option
 */
export function takeOption(bytes: Buffer): { value: NbdOption; size: number } | undefined {
  if (bytes.length < OPTION_HEADER_BYTES) return undefined;
  if (bytes.readBigUInt64BE(0) !== OPTION_MAGIC) throw new RangeError("not an NBD option");
  const length = checkLength(bytes.readUInt32BE(12));
  const size = OPTION_HEADER_BYTES + length;
  if (bytes.length < size) return undefined;
  return { value: { option: bytes.readUInt32BE(8), data: bytes.subarray(OPTION_HEADER_BYTES, size) }, size };
}

/**
 * Takes one request off the front of `bytes`: undefined while it is not whole. Pure.
 * @throws RangeError when it is no request
 */
export function takeRequest(bytes: Buffer): { value: NbdRequest; size: number } | undefined {
  if (bytes.length < REQUEST_BYTES) return undefined;
  if (bytes.readUInt32BE(0) !== REQUEST_MAGIC) throw new RangeError("not an NBD request");
  const command = bytes.readUInt16BE(6);
  const length = bytes.readUInt32BE(24);
  const isWrite = command === COMMANDS.write;
  const size = REQUEST_BYTES + (isWrite ? checkLength(length) : 0);
  if (bytes.length < size) return undefined;
  const offset = bytes.readBigUInt64BE(16);
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError("an offset beyond any disk");
  return {
    value: {
      flags: bytes.readUInt16BE(4),
      command,
      cookie: bytes.readBigUInt64BE(8),
      offset: Number(offset),
      length,
      data: bytes.subarray(REQUEST_BYTES, size),
    },
    size,
  };
}

function checkLength(length: number): number {
  if (length > PAYLOAD_BYTES_MAX)
    throw new RangeError(`${length} bytes at once; at most ${PAYLOAD_BYTES_MAX} are taken`);
  return length;
}
