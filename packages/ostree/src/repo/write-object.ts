import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  openSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { constants, createDeflateRaw, deflateRaw, deflateRawSync } from "node:zlib";
import { encodeZlibFileHeader } from "../core/encode.ts";
import { OstreeCorruptError } from "../core/errors.ts";
import { type Checksum, type FileHeader, S_IFLNK, S_IFMT } from "../core/objects.ts";
import { FileHasher, fileChecksum } from "./hash.ts";
import { writeXattrs } from "./native.ts";

/** Compressing more than this is left to libuv's pool. */
const SYNC_DEFLATE_BYTES_MAX = 4 * 1024;
const deflateAsync = promisify(deflateRaw);

/** What was written to a temporary file. */
export interface WrittenFile {
  readonly checksum: Checksum;
  /** Bytes of content. */
  readonly size: number;
}

/** All of a descriptor's bytes, also when write(2) takes only a part. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** Writes owner, mode and modification time (0, as upstream) of a bare repository's file. */
export function applyHeader(fd: number, path: string, header: FileHeader): void {
  // Owner before mode: chown clears setuid. Another owner needs root.
  if (header.uid !== process.getuid?.() || header.gid !== process.getgid?.()) fchownSync(fd, header.uid, header.gid);
  fchmodSync(fd, header.mode & 0o7777);
  writeXattrs(path, header.xattrs);
  futimesSync(fd, new Date(), 0);
}

/** Writes a bare repository's file, whose checksum is known, to `path`, which must not exist. */
export function writeBareBytes(path: string, header: FileHeader, content: Uint8Array): void {
  if ((header.mode & S_IFMT) === S_IFLNK) {
    symlinkSync(header.symlinkTarget, path);
    if (header.uid !== process.getuid?.() || header.gid !== process.getgid?.()) {
      lchownSync(path, header.uid, header.gid);
    }
    writeXattrs(path, header.xattrs);
    return;
  }
  const fd = openSync(path, "wx", 0o600);
  try {
    writeAll(fd, content);
    applyHeader(fd, path, header);
  } finally {
    closeSync(fd);
  }
}

/** Writes a bare repository's file to `path`, which must not exist. */
export async function writeBareStream(
  path: string,
  header: FileHeader,
  content: AsyncIterable<Uint8Array>,
): Promise<WrittenFile> {
  const hasher = new FileHasher(header);
  if ((header.mode & S_IFMT) === S_IFLNK) {
    await expectEmpty(content);
    writeBareBytes(path, header, new Uint8Array());
    return { checksum: hasher.digest(), size: 0 };
  }
  const fd = openSync(path, "wx", 0o600);
  try {
    for await (const chunk of content) {
      hasher.update(chunk);
      writeAll(fd, chunk);
    }
    applyHeader(fd, path, header);
  } finally {
    closeSync(fd);
  }
  return { checksum: hasher.digest(), size: hasher.bytes };
}

async function expectEmpty(content: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of content) {
    if (chunk.length > 0) throw new OstreeCorruptError("a symlink has no content");
  }
}

/** Writes an archive's file, whose checksum is known, to `path`, which must not exist. */
export async function writeArchiveBytes(
  path: string,
  header: FileHeader,
  content: Uint8Array,
  level: number,
): Promise<void> {
  const head = encodeZlibFileHeader(header, content.length);
  // Upstream writes nothing after a symlink's header.
  const body = (header.mode & S_IFMT) === S_IFLNK ? undefined : await deflated(content, level);
  const fd = openSync(path, "wx", 0o644);
  try {
    writeAll(fd, head);
    if (body !== undefined) writeAll(fd, body);
  } finally {
    closeSync(fd);
  }
}

async function deflated(content: Uint8Array, level: number): Promise<Uint8Array> {
  return content.length <= SYNC_DEFLATE_BYTES_MAX
    ? deflateRawSync(content, { level })
    : await deflateAsync(content, { level });
}

/** Writes an archive's file to `path`, which must not exist. */
export async function writeArchiveStream(
  path: string,
  header: FileHeader,
  content: AsyncIterable<Uint8Array>,
  level: number,
): Promise<WrittenFile> {
  if ((header.mode & S_IFMT) === S_IFLNK) {
    await expectEmpty(content);
    await writeArchiveBytes(path, header, new Uint8Array(), level);
    return { checksum: fileChecksum(header, new Uint8Array()), size: 0 };
  }
  const hasher = new FileHasher(header);
  async function* hashed() {
    for await (const chunk of content) {
      hasher.update(chunk);
      yield chunk;
    }
  }
  const fd = openSync(path, "wx", 0o644);
  try {
    // The size is not known yet, but its place and width are.
    writeAll(fd, encodeZlibFileHeader(header, 0));
    const deflater = createDeflateRaw({ level, chunkSize: 128 * 1024, memLevel: constants.Z_DEFAULT_MEMLEVEL });
    const source = Readable.from(hashed(), { objectMode: true });
    source.on("error", (error) => deflater.destroy(error));
    try {
      for await (const chunk of source.pipe(deflater) as AsyncIterable<Uint8Array>) writeAll(fd, chunk);
    } finally {
      source.destroy();
      deflater.destroy();
    }
    const head = encodeZlibFileHeader(header, hasher.bytes);
    for (let at = 0; at < head.length; ) at += writeSync(fd, head, at, head.length - at, at);
  } finally {
    closeSync(fd);
  }
  return { checksum: hasher.digest(), size: hasher.bytes };
}

/** Writes a metadata object's file. */
export function writeMetadataFile(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, "wx", 0o644);
  try {
    writeAll(fd, bytes);
  } finally {
    closeSync(fd);
  }
  // Readable whatever the umask: archives are served by others.
  chmodSync(path, 0o644);
}
