import { createHash } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress, constants as zlib } from "node:zlib";
import {
  type Compression,
  type Digest,
  EROFS_BLOCK,
  LayerBuilder,
  LayerError,
  type LayerLimits,
  type Patch,
  readSuperblock,
  SEAL_BYTES,
  sealSuperblock,
  sniffCompression,
  unsealSuperblock,
} from "@keelson/oci";
import { assert } from "@keelson/types";
import { ContentError, RegistryError } from "../registry/errors.ts";
import type { Budget } from "./budget.ts";
import { asStoreError } from "./files.ts";

/** Bounds of what one layer may become. */
export interface UnpackLimits extends LayerLimits {
  /** Bytes of the uncompressed tar. Default 64 GiB. */
  readonly tarBytesMax?: number;
  /** How many times its compressed size a layer may be, beyond the first 100 MiB. Default 250. */
  readonly expansionMax?: number;
}

/** A layer's blob to be unpacked. */
export interface LayerInput {
  readonly diffId: Digest;
  /** Undefined: by its first bytes. */
  readonly compression: Compression | undefined;
  /** Bytes of the blob. */
  readonly blobBytes: number;
  /** The blob; it throws when it is not what it should be, at the latest at its end. */
  readonly chunks: AsyncIterable<Uint8Array>;
}

const BUFFER_BYTES = 1024 * 1024;
const EXPANSION_FREE_BYTES = 100 * 1024 * 1024;

/**
 * Unpacks a layer into an EROFS image at `path`, which must not exist, in one pass; fsynced when this returns. The blob's own check and the diff id
 * are both done before. On any failure the file is gone.
 *
 * @returns its size, and that of the uncompressed tar
 * @throws ContentError, LayerError, StoreFullError
 */
export async function writeLayerFile(
  path: string,
  input: LayerInput,
  limits: UnpackLimits,
  budget: Budget,
  signal?: AbortSignal,
): Promise<{ readonly size: number; readonly tarBytes: number }> {
  // An image may hold what only its root may read; on this machine that is nobody but root, either.
  const handle = await open(path, "wx+", 0o600);
  const output = new OutputFile(handle, budget);
  try {
    const tarBytes = await unpack(input, limits, output, signal);
    await output.seal();
    return { size: output.size, tarBytes };
  } catch (error) {
    await rm(path, { force: true });
    budget.giveBack(output.size);
    throw asStoreError(error);
  } finally {
    await handle.close();
  }
}

async function unpack(
  input: LayerInput,
  limits: UnpackLimits,
  output: OutputFile,
  signal?: AbortSignal,
): Promise<number> {
  const builder = new LayerBuilder((bytes) => output.append(bytes), limits);
  const hash = createHash("sha256");
  assert(input.diffId.startsWith("sha256:"), "the diff id was checked", { diffId: input.diffId });
  const tarBytesMax = Math.min(
    limits.tarBytesMax ?? 64 * 2 ** 30,
    EXPANSION_FREE_BYTES + (limits.expansionMax ?? 250) * input.blobBytes,
  );
  let tarBytes = 0;
  await eachUnpacked(input, signal, async (chunk) => {
    tarBytes += chunk.length;
    if (tarBytes > tarBytesMax) {
      const text = `a layer of ${input.blobBytes} bytes becomes more than ${tarBytesMax} bytes when it is unpacked: this is no image, but an attack`;
      throw new LayerError("limit", text);
    }
    hash.update(chunk);
    builder.push(chunk);
    await output.drain();
  });
  const found = `sha256:${hash.digest("hex")}`;
  if (found !== input.diffId) {
    throw new ContentError("diff-id", `the unpacked layer is ${found}, but the image's config says ${input.diffId}`);
  }
  const built = builder.finish();
  await output.drain();
  await output.finish(built.patches);
  assert(built.size === output.size, "all of the image was written", { built: built.size, written: output.size });
  return tarBytes;
}

/** Runs the blob through its decompressor. When that fails, the blob is read to its end, since a blob that is not the right one is the better reason. */
async function eachUnpacked(
  input: LayerInput,
  signal: AbortSignal | undefined,
  take: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  const iterator = input.chunks[Symbol.asyncIterator]();
  const rest = async function* (): AsyncGenerator<Uint8Array> {
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
  };
  try {
    let head: Uint8Array = new Uint8Array(0);
    while (head.length < 4) {
      const next = await iterator.next();
      if (next.done === true) break;
      head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
    }
    const compression = sniffCompression(head);
    const all = async function* (): AsyncGenerator<Uint8Array> {
      yield head;
      yield* rest();
    };
    try {
      if (input.compression !== undefined && compression !== input.compression) {
        throw new ContentError(
          "compression",
          `the layer is said to be packed with ${input.compression}, but is ${compression}`,
        );
      }
      await decompress(all, compression, signal, take);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof RegistryError)) for await (const _ of rest()) signal?.throwIfAborted();
      throw isZlibError(error)
        ? new ContentError("compression", "the layer's compressed data is damaged", { cause: error })
        : error;
    }
  } finally {
    await iterator.return?.();
  }
}

async function decompress(
  source: () => AsyncGenerator<Uint8Array>,
  compression: Compression,
  signal: AbortSignal | undefined,
  take: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  if (compression === "none") {
    for await (const chunk of source()) {
      signal?.throwIfAborted();
      if (chunk.length > 0) await take(chunk);
    }
    return;
  }
  // The defaults of 16 KiB cost half of the speed.
  const options = { chunkSize: BUFFER_BYTES, highWaterMark: BUFFER_BYTES };
  const zstdWindow = { params: { [zlib.ZSTD_d_windowLogMax]: 27 } };
  const transform =
    compression === "gzip" ? createGunzip(options) : createZstdDecompress({ ...options, ...zstdWindow });
  const sink = async (unpacked: AsyncIterable<Uint8Array>) => {
    for await (const chunk of unpacked) await take(chunk);
  };
  await pipeline(source, transform, sink, signal === undefined ? {} : { signal });
}

function isZlibError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? "";
  return (
    code.startsWith("Z_") || code.startsWith("ZSTD_") || code.startsWith("ERR_ZSTD") || code === "ERR_BUFFER_TOO_LARGE"
  );
}

/** The file of an image: written in order, then patched and sealed. */
class OutputFile {
  readonly #handle: FileHandle;
  readonly #budget: Budget;
  #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #used = 0;
  #full: Buffer<ArrayBuffer>[] = [];
  readonly #free: Buffer<ArrayBuffer>[] = [];
  #written = 0;
  #size = 0;

  constructor(handle: FileHandle, budget: Budget) {
    this.#handle = handle;
    this.#budget = budget;
  }

  get size(): number {
    return this.#size;
  }

  append(bytes: Uint8Array): void {
    this.#budget.take(bytes.length);
    this.#size += bytes.length;
    for (let rest = bytes; rest.length > 0; ) {
      const piece = rest.subarray(0, BUFFER_BYTES - this.#used);
      this.#buffer.set(piece, this.#used);
      this.#used += piece.length;
      rest = rest.subarray(piece.length);
      if (this.#used === BUFFER_BYTES) this.#turn();
    }
  }

  #turn(): void {
    this.#full.push(this.#buffer.subarray(0, this.#used));
    // Buffers go round: new ones for every megabyte would keep the collector of garbage busy.
    this.#buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
    this.#used = 0;
  }

  /** Writes what is full. */
  async drain(): Promise<void> {
    for (const buffer of this.#full.splice(0)) {
      await writeAll(this.#handle, buffer, this.#written);
      this.#written += buffer.length;
      if (buffer.length === BUFFER_BYTES) this.#free.push(buffer);
    }
  }

  async finish(patches: readonly Patch[]): Promise<void> {
    if (this.#used > 0) this.#turn();
    await this.drain();
    for (const { offset, bytes } of patches) await writeAll(this.#handle, bytes, offset);
  }

  /** Hashes the file while the disk takes it, puts the seal in, and makes all last. */
  async seal(): Promise<void> {
    const [hashed] = await Promise.all([hashSealed(this.#handle, this.#size), this.#handle.datasync()]);
    const block = new Uint8Array(hashed.first);
    sealSuperblock(block, hashed.hash);
    await writeAll(this.#handle, block, 0);
    await this.#handle.sync();
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

/** The hash of an image, with its first block as it was before it was sealed. */
async function hashSealed(
  handle: FileHandle,
  size: number,
): Promise<{ first: Uint8Array; seal: Uint8Array; hash: Uint8Array }> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  const { bytesRead } = await handle.read(buffer, 0, EROFS_BLOCK, 0);
  const first = new Uint8Array(buffer.subarray(0, bytesRead));
  if (first.length < EROFS_BLOCK) return { first, seal: first, hash: new Uint8Array(0) };
  const unsealed = unsealSuperblock(first);
  hash.update(unsealed.block);
  for (let at = EROFS_BLOCK; at < size; ) {
    const { bytesRead: count } = await handle.read(buffer, 0, BUFFER_BYTES, at);
    if (count === 0) break;
    hash.update(buffer.subarray(0, count));
    at += count;
  }
  return { first, seal: unsealed.seal, hash: hash.digest() };
}

/** Reads an image again and says what is wrong with it; undefined for nothing. */
export async function verifyLayerFile(path: string): Promise<string | undefined> {
  const handle = await open(path, "r").catch((error: NodeJS.ErrnoException) => error);
  if (handle instanceof Error) return `cannot be read (${handle.code})`;
  try {
    const { size } = await handle.stat();
    const { first, seal, hash } = await hashSealed(handle, size);
    const superblock = readSuperblock(first);
    if (!superblock.ok) return superblock.problem;
    if (superblock.blocks * EROFS_BLOCK !== size)
      return `is ${size} bytes long instead of ${superblock.blocks * EROFS_BLOCK}`;
    return Buffer.from(hash.subarray(0, SEAL_BYTES)).equals(seal) ? undefined : "its content is not what was written";
  } finally {
    await handle.close();
  }
}
