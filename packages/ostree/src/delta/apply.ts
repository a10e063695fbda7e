import { promisify } from "node:util";
import { constants, zstdDecompress } from "node:zlib";
import { decodeCommit, decodeDirTree, decodeFileHeader, decodeHeaderLength } from "../core/decode.ts";
import {
  DELTA_PREFIX_BYTES,
  type DeltaHeader,
  type DeltaObject,
  type DeltaPart,
  decodeDeltaHeader,
  decodeDeltaPrefix,
  WINDOW_LOG_MAX,
} from "../core/delta-format.ts";
import { OstreeCorruptError, OstreeDeltaError, OstreeFormatError } from "../core/errors.ts";
import type { Checksum } from "../core/objects.ts";
import { ChunkReader } from "../repo/chunk-reader.ts";
import type { Repo, RepoTransaction } from "../repo/port.ts";
import { BaseWindow } from "./base.ts";
import { contentOf } from "./generate.ts";

const decompress = promisify(zstdDecompress);

/** Options of {@link applyDelta}. */
export interface ApplyDeltaOptions {
  /** The commit that is wanted; a delta to another is refused. */
  readonly to?: Checksum;
  /** Written to and left open; else one is made and committed. */
  readonly transaction?: RepoTransaction;
  /** Called with the bytes of the delta read so far. */
  readonly onProgress?: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

/** What a delta brought. */
export interface AppliedDelta {
  readonly from?: Checksum;
  readonly to: Checksum;
  /** Objects in it. */
  readonly objects: number;
  /** Of them, those that were not there yet. */
  readonly written: number;
  /** Bytes of the delta. */
  readonly bytes: number;
}

/**
 * Reads a delta from a stream (a file or an HTTP response) and writes its objects, each verified against its checksum before it
 * is kept. No ref is moved, and nothing says that all of `to` is there: the caller walks the commit and fetches what is missing,
 * which is also the way out when this fails. What was written before a failure is good and stays in the transaction.
 *
 * @throws {OstreeDeltaError} damaged, cut short, another commit, or its base is not here
 */
export async function applyDelta(
  repo: Repo,
  source: AsyncIterable<Uint8Array>,
  options: ApplyDeltaOptions = {},
): Promise<AppliedDelta> {
  await using own = options.transaction === undefined ? await repo.transaction() : undefined;
  const transaction = options.transaction ?? own;
  if (transaction === undefined) throw new OstreeDeltaError("a delta needs a transaction");
  const reader = new DeltaReader(source, options);
  try {
    const header = await readHeader(repo, reader, options.to);
    const run: Run = { repo, transaction, reader, needed: new Set([`${header.to}.commit`]) };
    let written = 0;
    for (const object of header.objects) if (await applyObject(run, object)) written++;
    await reader.expectEnd();
    await own?.commit();
    const { from, to, objects } = header;
    return { ...(from !== undefined && { from }), to, objects: objects.length, written, bytes: reader.bytes };
  } finally {
    await reader.close();
  }
}

async function readHeader(repo: Repo, reader: DeltaReader, wanted: Checksum | undefined): Promise<DeltaHeader> {
  const length = decodeDeltaPrefix(await reader.exactly(DELTA_PREFIX_BYTES));
  const header = decodeDeltaHeader(await reader.exactly(length));
  const { from, to } = header;
  if (wanted !== undefined && to !== wanted) {
    throw new OstreeDeltaError(`the delta leads to commit ${to}, not to ${wanted}`, { to, wanted });
  }
  if (from !== undefined && !(await repo.has("commit", from))) {
    throw new OstreeDeltaError(`the delta is from commit ${from}, which is not here`, { from });
  }
  return header;
}

interface Run {
  readonly repo: Repo;
  readonly transaction: RepoTransaction;
  readonly reader: DeltaReader;
  /** Objects that what came so far needs: parents stand before what they hold, and nothing else may come. */
  readonly needed: Set<string>;
}

/** False when the object is there already. */
async function applyObject(run: Run, object: DeltaObject): Promise<boolean> {
  const { type, checksum } = object;
  const { repo, transaction, reader } = run;
  if (!run.needed.has(`${checksum}.${type}`)) {
    throw new OstreeDeltaError(`the delta holds a ${type} object that its commit does not need`, { type, checksum });
  }
  const present = await transaction.has(type, checksum);
  if (present && type === "file") {
    for (const part of object.parts) await reader.exactly(part.stored);
    return false;
  }
  const base = object.base === undefined ? undefined : await openBase(repo, object, object.base);
  try {
    const content = new ChunkReader(partsOf(object, reader, base));
    if (type === "file") await writeFile(transaction, content, checksum);
    else await writeMetadata(run, type, await content.upTo(totalSize(object.parts)), checksum);
  } catch (cause) {
    if (cause instanceof OstreeCorruptError || cause instanceof OstreeFormatError) {
      throw new OstreeDeltaError(`the delta's ${type} object ${checksum} is damaged`, { type, checksum }, { cause });
    }
    throw cause;
  } finally {
    await base?.close();
  }
  return !present;
}

/** Also when it is there already, since it says what else may come. */
async function writeMetadata(
  { transaction, needed }: Run,
  type: Exclude<DeltaObject["type"], "file">,
  bytes: Uint8Array,
  checksum: Checksum,
): Promise<void> {
  await transaction.writeMetadata(type, bytes, checksum);
  if (type === "commit") {
    const { rootTree, rootMeta } = decodeCommit(bytes);
    needed.add(`${rootTree}.dirtree`).add(`${rootMeta}.dirmeta`);
  } else if (type === "dirtree") {
    const { files, dirs } = decodeDirTree(bytes);
    for (const [, file] of files) needed.add(`${file}.file`);
    for (const [, tree, meta] of dirs) needed.add(`${tree}.dirtree`).add(`${meta}.dirmeta`);
  }
}

async function openBase(repo: Repo, { type, checksum }: DeltaObject, base: Checksum): Promise<BaseWindow> {
  if (!(await repo.has(type, base))) {
    throw new OstreeDeltaError(`the delta makes ${type} object ${checksum} from ${base}, which is not here`, { base });
  }
  return new BaseWindow((await contentOf(repo, type, base)).content);
}

function totalSize(parts: readonly DeltaPart[]): number {
  return parts.reduce((sum, part) => sum + part.size, 0);
}

async function writeFile(transaction: RepoTransaction, content: ChunkReader, checksum: Checksum): Promise<void> {
  const length = decodeHeaderLength(await content.upTo(8));
  const header = decodeFileHeader(await content.upTo(length));
  await transaction.writeFile(header, content.rest(), { expected: checksum });
}

async function* partsOf(
  object: DeltaObject,
  reader: DeltaReader,
  base: BaseWindow | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const part of object.parts) {
    const frame = await reader.exactly(part.stored);
    const dictionary = await base?.range(part.dictionaryOffset, part.dictionaryLength);
    yield await decompressPart(frame, part, dictionary);
  }
}

async function decompressPart(
  frame: Uint8Array,
  part: DeltaPart,
  dictionary: Uint8Array | undefined,
): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    bytes = await decompress(frame, {
      ...(dictionary !== undefined && dictionary.length > 0 && { dictionary }),
      maxOutputLength: Math.max(1, part.size),
      params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
    });
  } catch (cause) {
    throw new OstreeDeltaError("a delta's part is damaged, or its base is another", { size: part.size }, { cause });
  }
  if (bytes.length !== part.size) throw new OstreeDeltaError("a delta's part is cut short", { size: part.size });
  return bytes;
}

class DeltaReader {
  bytes = 0;
  readonly #reader: ChunkReader;
  readonly #options: ApplyDeltaOptions;

  constructor(source: AsyncIterable<Uint8Array>, options: ApplyDeltaOptions) {
    this.#reader = new ChunkReader(source);
    this.#options = options;
  }

  async exactly(length: number): Promise<Uint8Array> {
    this.#options.signal?.throwIfAborted();
    const bytes = await this.#reader.upTo(length);
    if (bytes.length < length)
      throw new OstreeDeltaError("the delta is cut short", { bytes: this.bytes + bytes.length });
    this.bytes += length;
    this.#options.onProgress?.(this.bytes);
    return bytes;
  }

  async expectEnd(): Promise<void> {
    if ((await this.#reader.upTo(1)).length > 0) throw new OstreeDeltaError("the delta goes on after its end");
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }
}
