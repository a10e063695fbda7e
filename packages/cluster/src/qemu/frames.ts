/** Longest Ethernet frame that QEMU sends through a stream socket (net/net.h NET_BUFSIZE). */
export const FRAME_BYTES_MAX = 4096 + 65536;

/** A frame of QEMU's stream socket: its length as four big-endian bytes, then the frame. Pure. */
export function encodeFrame(frame: Uint8Array): Uint8Array {
  const out = Buffer.allocUnsafe(4 + frame.length);
  out.writeUInt32BE(frame.length, 0);
  out.set(frame, 4);
  return out;
}

/** Cuts a byte stream into frames. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames that are complete with this chunk. @throws RangeError for a length no card can have */
  push(chunk: Uint8Array): Uint8Array[] {
    let rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    const frames: Uint8Array[] = [];
    while (rest.length >= 4) {
      const length = rest.readUInt32BE(0);
      if (length > FRAME_BYTES_MAX) throw new RangeError(`a frame of ${length} bytes: the stream is not QEMU's`);
      if (rest.length < 4 + length) break;
      frames.push(rest.subarray(4, 4 + length));
      rest = rest.subarray(4 + length);
    }
    this.#rest = rest;
    return frames;
  }
}

const BROADCAST_BIT = 1;

/** The destination's address as text, or undefined for a frame to many (broadcast, multicast). Pure. */
export function destinationOf(frame: Uint8Array): string | undefined {
  return ((frame[0] ?? BROADCAST_BIT) & BROADCAST_BIT) !== 0 ? undefined : macText(frame, 0);
}

/** The sender's address as text. Pure. */
export function sourceOf(frame: Uint8Array): string {
  return macText(frame, 6);
}

function macText(frame: Uint8Array, offset: number): string {
  return Buffer.from(frame.subarray(offset, offset + 6)).toString("hex");
}
