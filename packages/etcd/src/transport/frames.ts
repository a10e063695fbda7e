import { crc32 } from "node:zlib";
import { CoreError } from "@keelson/types";

/** A frame of a peer is damaged or too large. The connection is closed; Raft sends again. */
export class FrameError extends CoreError<"ERR_ETCD_FRAME"> {
  readonly code = "ERR_ETCD_FRAME";
}

/** Kinds of frames. A stream is 4 bytes length, 4 bytes CRC-32 of what follows, 1 byte kind, body. */
export const FRAME = {
  /** A Raft message. */
  message: 1,
  ping: 2,
  pong: 3,
  /** 4 bytes number, then what is asked. */
  request: 4,
  /** 4 bytes number, then the answer. */
  reply: 5,
  /** 4 bytes number: the question was refused; then the text why. */
  refusal: 6,
  /** The MsgSnap that the chunks after it belong to. */
  snapshotHead: 7,
  snapshotChunk: 8,
  snapshotEnd: 9,
  /** The receiver has taken the snapshot. */
  snapshotDone: 10,
  /** It has not; the text why. */
  snapshotFailed: 11,
} as const;

const HEADER_BYTES = 8;
/** A message is about 1 MiB of entries; one entry may be as large as a request may be. */
const FRAME_BYTES_MAX = 64 * 1024 * 1024;

export interface Frame {
  readonly kind: number;
  readonly body: Buffer;
}

/** The head and body of a frame, as one buffer. */
export function encodeFrame(kind: number, body: Uint8Array = new Uint8Array(0)): Buffer {
  const out = Buffer.allocUnsafe(HEADER_BYTES + 1 + body.length);
  out[HEADER_BYTES] = kind;
  out.set(body, HEADER_BYTES + 1);
  const content = out.subarray(HEADER_BYTES);
  out.writeUInt32BE(content.length, 0);
  out.writeUInt32BE(crc32(content), 4);
  return out;
}

/** A body that starts with a number. */
export function numbered(n: number, body: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(4 + body.length);
  out.writeUInt32BE(n, 0);
  out.set(body, 4);
  return out;
}

/** Cuts a byte stream into frames. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #size = 0;

  /** Frames completed by `chunk`; their bodies are copies. @throws FrameError */
  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      if (this.#size < HEADER_BYTES) return frames;
      const length = this.#head().readUInt32BE(0);
      if (length === 0 || length > FRAME_BYTES_MAX) throw new FrameError(`a frame of ${length} bytes`, { length });
      if (this.#size < HEADER_BYTES + length) return frames;
      frames.push(this.#take(length));
    }
  }

  #head(): Buffer {
    if ((this.#chunks[0] as Buffer).length < HEADER_BYTES) this.#flatten();
    return this.#chunks[0] as Buffer;
  }

  #flatten(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] as Buffer;
  }

  #take(length: number): Frame {
    const all = this.#flatten();
    const content = Buffer.from(all.subarray(HEADER_BYTES, HEADER_BYTES + length));
    if (crc32(content) !== all.readUInt32BE(4)) throw new FrameError("a frame does not match its checksum", { length });
    const rest = all.subarray(HEADER_BYTES + length);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#size = rest.length;
    return { kind: content[0] as number, body: content.subarray(1) };
  }
}
