import { pipeline, Readable } from "node:stream";
import { createInflateRaw } from "node:zlib";
import { decodeHeaderLength, decodeZlibFileHeader } from "../core/decode.ts";
import { OstreeCorruptError, OstreeFormatError } from "../core/errors.ts";
import type { FileHeader } from "../core/objects.ts";
import { ChunkReader } from "./chunk-reader.ts";

const INFLATE_CHUNK_BYTES = 128 * 1024;

/** A `.filez` that is being read: the content can be read once. */
export interface FilezContent {
  readonly header: FileHeader;
  /** Bytes of content, as the header says; `content` fails when that is not true. */
  readonly size: number;
  readonly content: AsyncIterable<Uint8Array>;
}

/**
 * Reads an archive's file object from a stream, such as an HTTP response. The caller checks the checksum, for example by
 * writing header and content with `writeFile({ expected })`. Never inflates more than `size` bytes, and never holds more
 * than some chunks. @throws {OstreeFormatError | OstreeCorruptError}
 */
export async function parseFilez(source: AsyncIterable<Uint8Array>): Promise<FilezContent> {
  const reader = new ChunkReader(source);
  try {
    const length = decodeHeaderLength(await exactly(reader, 8));
    const { header, size } = decodeZlibFileHeader(await exactly(reader, length));
    return { header, size, content: inflate(reader, size) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function exactly(reader: ChunkReader, length: number): Promise<Uint8Array> {
  const bytes = await reader.upTo(length);
  if (bytes.length < length) throw new OstreeFormatError("a file object is cut short", { have: bytes.length, length });
  return bytes;
}

async function* inflate(reader: ChunkReader, size: number): AsyncGenerator<Uint8Array, void, undefined> {
  const inflater = createInflateRaw({ chunkSize: Math.max(64, Math.min(size, INFLATE_CHUNK_BYTES)) });
  pipeline(Readable.from(reader.rest()), inflater, () => {});
  let left = size;
  try {
    for await (const chunk of inflater as AsyncIterable<Uint8Array>) {
      left -= chunk.length;
      if (left < 0) throw new OstreeCorruptError("a file object holds more than its header says", { size });
      yield chunk;
    }
  } catch (cause) {
    throw inflateError(cause);
  } finally {
    inflater.destroy();
    await reader.close();
  }
  if (left > 0) throw new OstreeCorruptError("a file object is cut short", { size, missing: left });
}

/** zlib's own errors become ours; those of the source stay as they are. */
export function inflateError(cause: unknown): unknown {
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (typeof code === "string" && /^(?:Z_|ERR_BUFFER_TOO_LARGE)/.test(code)) {
    return new OstreeCorruptError("a file object's deflate data is damaged", { zlib: code }, { cause });
  }
  return cause;
}
