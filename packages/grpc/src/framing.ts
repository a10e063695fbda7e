import { gunzipSync } from "node:zlib";
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { RpcError, Status } from "./status.ts";

const PREFIX_BYTES = 5;

/**
 * A message that is already encoded and framed. Handlers may return one instead of a message, so that one event for a
 * thousand watchers is encoded once.
 */
export class Encoded {
  /** Compression flag, big-endian length, protobuf bytes. Must not change any more. */
  readonly frame: Uint8Array;

  private constructor(frame: Uint8Array) {
    this.frame = frame;
  }

  /** Frames protobuf bytes (copied). */
  static fromBytes(bytes: Uint8Array): Encoded {
    return new Encoded(frameBytes(bytes));
  }

  /** Encodes and frames a message. */
  static fromMessage<D extends DescMessage>(schema: D, message: MessageShape<D>): Encoded {
    return new Encoded(frameBytes(toBinary(schema, message)));
  }
}

/** Prefixes uncompressed bytes with the five bytes of gRPC. */
export function frameBytes(bytes: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + bytes.length);
  frame[0] = 0;
  frame.writeUInt32BE(bytes.length, 1);
  frame.set(bytes, PREFIX_BYTES);
  return frame;
}

/** Cuts a stream of bytes into messages. Holds at most one message's bytes; refuses larger ones before they arrive. */
export class MessageReader {
  readonly #maxBytes: number;
  readonly #gzip: boolean;
  #chunks: Uint8Array[] = [];
  #size = 0;

  constructor(maxBytes: number, gzip: boolean) {
    this.#maxBytes = maxBytes;
    this.#gzip = gzip;
  }

  /** True in the middle of a message. */
  get partial(): boolean {
    return this.#size > 0;
  }

  /**
   * Messages completed by `chunk`, each in a buffer of its own size: a handler that keeps a key must not keep the
   * 64 KiB read buffer it came in.
   * @throws {RpcError} RESOURCE_EXHAUSTED for a message over the limit, INTERNAL or UNIMPLEMENTED for a bad frame.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    const out: Uint8Array[] = [];
    for (;;) {
      const length = this.#nextLength();
      if (length === undefined || this.#size < PREFIX_BYTES + length) return out;
      const bytes = this.#flat();
      out.push(this.#body(bytes, length));
      const rest = bytes.subarray(PREFIX_BYTES + length);
      this.#chunks = rest.length > 0 ? [rest] : [];
      this.#size = rest.length;
    }
  }

  #nextLength(): number | undefined {
    if (this.#size < PREFIX_BYTES) return undefined;
    const first = this.#chunks[0];
    const head = first !== undefined && first.length >= PREFIX_BYTES ? first : this.#flat();
    const length = new DataView(head.buffer, head.byteOffset, PREFIX_BYTES).getUint32(1);
    if (length > this.#maxBytes) {
      throw new RpcError(
        Status.RESOURCE_EXHAUSTED,
        `grpc: received message larger than max (${length} vs. ${this.#maxBytes})`,
      );
    }
    return length;
  }

  #flat(): Uint8Array {
    const first = this.#chunks[0];
    if (this.#chunks.length === 1 && first !== undefined) return first;
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }

  #body(bytes: Uint8Array, length: number): Uint8Array {
    const flag = bytes[0];
    const body = bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + length);
    if (flag === 0) return new Uint8Array(body);
    if (flag !== 1) throw new RpcError(Status.INTERNAL, `grpc: received unexpected payload format ${flag}`);
    if (!this.#gzip) throw new RpcError(Status.INTERNAL, "grpc: compressed flag set with identity or empty encoding");
    return this.#gunzip(body);
  }

  #gunzip(body: Uint8Array): Uint8Array {
    try {
      return new Uint8Array(gunzipSync(body, { maxOutputLength: Math.max(1, this.#maxBytes) }));
    } catch (cause) {
      if (cause instanceof RangeError) {
        throw new RpcError(
          Status.RESOURCE_EXHAUSTED,
          `grpc: received message after decompression larger than max ${this.#maxBytes}`,
          { cause },
        );
      }
      throw new RpcError(Status.INTERNAL, "grpc: failed to decompress the received message", { cause });
    }
  }
}
