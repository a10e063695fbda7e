import { createReadStream, lstatSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import { promisify } from "node:util";
import { inflateRaw, inflateRawSync } from "node:zlib";
import { decodeHeaderLength, decodeZlibFileHeader } from "../core/decode.ts";
import { OstreeCorruptError, OstreeFormatError, OstreeNotFoundError } from "../core/errors.ts";
import { type Checksum, type FileHeader, S_IFLNK, S_IFMT, S_IFREG } from "../core/objects.ts";
import { inflateError, parseFilez } from "./filez.ts";
import { expectChecksum, FileHasher } from "./hash.ts";
import { readXattrs } from "./native.ts";
import type { FileContent } from "./port.ts";

/** Files up to this are read at once; larger ones in chunks. */
export const WHOLE_BYTES_MAX = 512 * 1024;
/** Chunk of larger files. */
export const CHUNK_BYTES = 256 * 1024;
/** Inflating more than this is left to libuv's pool, where other files are inflated at the same time. */
const SYNC_INFLATE_BYTES_MAX = 16 * 1024;
const inflateAsync = promisify(inflateRaw);

function missing(checksum: Checksum, cause: unknown): unknown {
  if ((cause as NodeJS.ErrnoException).code !== "ENOENT") return cause;
  return new OstreeNotFoundError(`no file object ${checksum}`, { checksum }, { cause });
}

/** What a file of a tree or bare repository is as an object's header. Undefined when it is neither file nor symlink. */
export function headerOfFile(path: string, stat: Stats, withXattrs: boolean): FileHeader | undefined {
  const type = stat.mode & S_IFMT;
  if (type !== S_IFREG && type !== S_IFLNK) return undefined;
  return {
    uid: stat.uid,
    gid: stat.gid,
    mode: stat.mode,
    symlinkTarget: type === S_IFLNK ? readlinkSync(path) : "",
    xattrs: withXattrs && process.platform === "linux" ? readXattrs(path) : [],
  };
}

/** A file object of a bare repository: the file itself. */
export function readBareFile(path: string, checksum: Checksum): FileContent {
  let stat: Stats;
  try {
    stat = lstatSync(path);
  } catch (cause) {
    throw missing(checksum, cause);
  }
  const header = headerOfFile(path, stat, true);
  if (header === undefined) {
    throw new OstreeCorruptError(`file object ${checksum} is neither a file nor a symlink`, { path });
  }
  const size = (header.mode & S_IFMT) === S_IFREG ? stat.size : 0;
  return { header, size, content: () => verified(header, checksum, size, readPlain(path, size)) };
}

async function* readPlain(path: string, size: number): AsyncGenerator<Uint8Array, void, undefined> {
  if (size === 0) return;
  if (size <= WHOLE_BYTES_MAX) yield readFileSync(path);
  else yield* createReadStream(path, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Uint8Array>;
}

/** A file object of an archive: header, then raw deflate. */
export async function readArchiveFile(path: string, checksum: Checksum): Promise<FileContent> {
  try {
    const compressed = lstatSync(path).size;
    return compressed <= WHOLE_BYTES_MAX ? readSmallFilez(path, checksum) : await readLargeFilez(path, checksum);
  } catch (cause) {
    if (cause instanceof OstreeFormatError) {
      throw new OstreeCorruptError(`file object ${checksum} is damaged`, { checksum }, { cause });
    }
    throw missing(checksum, cause);
  }
}

function readSmallFilez(path: string, checksum: Checksum): FileContent {
  const bytes = readFileSync(path);
  const start = 8 + decodeHeaderLength(bytes);
  if (start > bytes.length) throw new OstreeFormatError("a file object is cut short", { bytes: bytes.length });
  const { header, size } = decodeZlibFileHeader(bytes.subarray(8, start));
  // A little file that says it is huge is inflated in chunks.
  if (size > 8 * WHOLE_BYTES_MAX) return largeContent(path, checksum, header, size);
  async function* inflated(): AsyncGenerator<Uint8Array, void, undefined> {
    if ((header.mode & S_IFMT) === S_IFLNK) return;
    try {
      // One more byte than expected, so that too much is seen as such.
      // In one piece: zlib's default of 16 KiB is too much for most files and too little for others.
      const limit = { maxOutputLength: size + 1, chunkSize: Math.max(64, size + 1) };
      const compressed = bytes.subarray(start);
      const content =
        size <= SYNC_INFLATE_BYTES_MAX ? inflateRawSync(compressed, limit) : await inflateAsync(compressed, limit);
      if (content.length > 0) yield content;
    } catch (cause) {
      throw inflateError(cause);
    }
  }
  return { header, size, content: () => verified(header, checksum, size, inflated()) };
}

async function readLargeFilez(path: string, checksum: Checksum): Promise<FileContent> {
  const stream = createReadStream(path, { highWaterMark: 4_096 });
  const { header, size } = await parseFilez(stream as AsyncIterable<Uint8Array>);
  stream.destroy();
  return largeContent(path, checksum, header, size);
}

function largeContent(path: string, checksum: Checksum, header: FileHeader, size: number): FileContent {
  async function* inflated(): AsyncGenerator<Uint8Array, void, undefined> {
    const again = createReadStream(path, { highWaterMark: CHUNK_BYTES });
    yield* (await parseFilez(again as AsyncIterable<Uint8Array>)).content;
  }
  return { header, size, content: () => verified(header, checksum, size, inflated()) };
}

/** Passes content through and fails at its end when size or checksum are wrong. */
async function* verified(
  header: FileHeader,
  checksum: Checksum,
  size: number,
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hasher = new FileHasher(header);
  try {
    for await (const chunk of content) {
      hasher.update(chunk);
      yield chunk;
    }
  } catch (cause) {
    if (!(cause instanceof OstreeCorruptError) && !(cause instanceof OstreeFormatError)) throw cause;
    throw new OstreeCorruptError(`file object ${checksum} is damaged`, { checksum }, { cause });
  }
  if (hasher.bytes !== size) {
    throw new OstreeCorruptError(`file object ${checksum} is cut short`, { checksum, size, bytes: hasher.bytes });
  }
  expectChecksum("file object", hasher.digest(), checksum);
}
