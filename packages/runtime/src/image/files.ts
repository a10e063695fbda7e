import { createReadStream, createWriteStream } from "node:fs";
import { constants, type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { sniffCompression, type TarEntry, TarScanner } from "@keelson/oci";
import { ArchiveError } from "../store/errors.ts";
import { asStoreError, scratchName } from "../store/files.ts";

/** Files of a layout or an archive, by their paths in it. */
export interface ImageFiles extends AsyncDisposable {
  /** For messages. */
  readonly path: string;
  /** Bytes of a file; undefined when it is not there. */
  size(name: string): Promise<number | undefined>;
  /** @throws ArchiveError when it is not there */
  stream(name: string, signal: AbortSignal | undefined): AsyncIterable<Uint8Array>;
}

const CHUNK_BYTES = 1024 * 1024;
const ENTRIES_MAX = 100_000;
/** Bytes of a packed archive when it is unpacked. */
const UNPACKED_BYTES_MAX = 64 * 2 ** 30;

/** A small file as a whole. @throws ArchiveError when it is not there or too large */
export async function readFileOf(
  files: ImageFiles,
  name: string,
  bytesMax: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const size = await files.size(name);
  if (size === undefined) throw new ArchiveError(`${files.path} has no file ${name}`, { path: files.path });
  if (size > bytesMax) throw new ArchiveError(`${files.path}: ${name} is ${size} bytes long; the limit is ${bytesMax}`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of files.stream(name, signal)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A directory. Symlinks in it are not followed: a layout has none. */
export function directoryFiles(path: string): ImageFiles {
  const openFile = async (name: string): Promise<FileHandle | undefined> => {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW;
    return await open(join(path, name), flags).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === "ENOENT") return undefined;
      throw new ArchiveError(`${join(path, name)} cannot be read`, { path }, { cause });
    });
  };
  return {
    path,
    async size(name) {
      await using handle = await openFile(name);
      const found = await handle?.stat();
      return found?.isFile() === true ? found.size : undefined;
    },
    async *stream(name, signal) {
      await using handle = await openFile(name);
      if (handle === undefined) throw new ArchiveError(`${path} has no file ${name}`, { path });
      yield* readPart(handle, 0, Number.POSITIVE_INFINITY, signal);
    },
    async [Symbol.asyncDispose]() {},
  };
}

async function* readPart(
  handle: FileHandle,
  start: number,
  size: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < size; ) {
    signal?.throwIfAborted();
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - done));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, start + done);
    if (bytesRead === 0) break;
    done += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/**
 * A tar, also a packed one, which is unpacked into `scratch` for as long as it is open.
 *
 * @throws ArchiveError, LayerError when it is no tar
 */
export async function archiveFiles(
  path: string,
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<ImageFiles> {
  let handle = await openArchive(path);
  let temporary: string | undefined;
  try {
    const head = Buffer.alloc(4);
    await handle.read(head, 0, 4, 0);
    const compression = sniffCompression(head);
    if (compression !== "none") {
      temporary = join(scratch, scratchName("archive"));
      await unpackArchive(path, temporary, compression, signal);
      await handle.close();
      handle = await openArchive(temporary);
    }
    return tarFiles(path, handle, await scanArchive(path, handle, signal), temporary);
  } catch (error) {
    await handle.close();
    if (temporary !== undefined) await rm(temporary, { force: true });
    throw asStoreError(error);
  }
}

async function openArchive(path: string): Promise<FileHandle> {
  return await open(path, "r").catch((cause: unknown) => {
    throw new ArchiveError(`${path} cannot be read`, { path }, { cause });
  });
}

async function unpackArchive(
  from: string,
  to: string,
  compression: "gzip" | "zstd",
  signal: AbortSignal | undefined,
): Promise<void> {
  const options = { chunkSize: CHUNK_BYTES };
  let size = 0;
  const bounded = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      size += chunk.length;
      done(size > UNPACKED_BYTES_MAX ? new ArchiveError(`${from} is too large when it is unpacked`) : null, chunk);
    },
  });
  await pipeline(
    createReadStream(from, { highWaterMark: CHUNK_BYTES }),
    compression === "gzip" ? createGunzip(options) : createZstdDecompress(options),
    bounded,
    createWriteStream(to, { flags: "wx", mode: 0o600 }),
    signal === undefined ? {} : { signal },
  );
}

/** A place in the archive, or the name of another entry that is meant. */
type Member = { readonly offset: number; readonly size: number } | { readonly target: string };

/** Finds what is where, reading headers only. */
async function scanArchive(
  path: string,
  handle: FileHandle,
  signal: AbortSignal | undefined,
): Promise<Map<string, Member>> {
  const members = new Map<string, Member>();
  const scanner = new TarScanner({ entry: (entry) => addMember(path, members, entry), data() {}, end() {} });
  const buffer = Buffer.alloc(512);
  const { size } = await handle.stat();
  while (scanner.position < size) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, scanner.position);
    if (bytesRead === 0) break;
    scanner.push(buffer.subarray(0, bytesRead));
    if (scanner.position + scanner.skippable <= size) scanner.skip();
    if (scanner.isAtEnd) break;
  }
  scanner.finish();
  return members;
}

function addMember(path: string, members: Map<string, Member>, entry: TarEntry): void {
  if (entry.kind === "directory") return;
  const name = entry.name.replace(/^(\.\/)+/, "");
  // A second file of a name would be another image to another reader.
  if (members.has(name)) throw new ArchiveError(`${path} has the file ${name} twice`, { path });
  if (members.size >= ENTRIES_MAX) throw new ArchiveError(`${path} has more than ${ENTRIES_MAX} files`, { path });
  if (entry.kind === "file") members.set(name, { offset: entry.offset, size: entry.size });
  else if (entry.kind === "symlink") members.set(name, { target: joinNames(name, entry.linkName) });
  else if (entry.kind === "hardlink") members.set(name, { target: entry.linkName.replace(/^(\.\/)+/, "") });
}

/** What a symlink of the archive means: `docker save` writes a layer that two images share once, and links to it. */
function joinNames(from: string, target: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const part of target.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

function tarFiles(
  path: string,
  handle: FileHandle,
  members: Map<string, Member>,
  temporary: string | undefined,
): ImageFiles {
  const find = (name: string) => {
    let member = members.get(name);
    for (let hops = 0; member !== undefined && "target" in member && hops < 8; hops++)
      member = members.get(member.target);
    return member !== undefined && "offset" in member ? member : undefined;
  };
  return {
    path,
    size: async (name) => find(name)?.size,
    async *stream(name, signal) {
      const member = find(name);
      if (member === undefined) throw new ArchiveError(`${path} has no file ${name}`, { path });
      yield* readPart(handle, member.offset, member.size, signal);
    },
    async [Symbol.asyncDispose]() {
      await handle.close();
      if (temporary !== undefined) await rm(temporary, { force: true });
    },
  };
}
