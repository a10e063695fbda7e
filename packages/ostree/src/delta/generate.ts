import { randomBytes } from "node:crypto";
import { closeSync, openSync, readSync, rmSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { constants, zstdCompress } from "node:zlib";
import {
  type DeltaObject,
  type DeltaPart,
  encodeDeltaHeader,
  PART_BYTES_MAX,
  WINDOW_LOG_MAX,
} from "../core/delta-format.ts";
import { encodeFileHeader } from "../core/encode.ts";
import type { Checksum } from "../core/objects.ts";
import { ChunkReader } from "../repo/chunk-reader.ts";
import { fsyncPath, mkdirDurable } from "../repo/durable.ts";
import { loadCommit, loadDirTree, walkCommit } from "../repo/load.ts";
import { lockRepo } from "../repo/lock.ts";
import type { LooseObject, Repo } from "../repo/port.ts";
import { writeAll } from "../repo/write-object.ts";
import { BaseWindow } from "./base.ts";
import { DELTA_WORK_PREFIX, deltaPath } from "./files.ts";

const compress = promisify(zstdCompress);

/** Options of {@link generateDelta}. */
export interface GenerateDeltaOptions {
  /** zstd's level; large parts take 12 at most. Default 19. */
  readonly level?: number;
  /** Bytes of a part, and of a dictionary three times as many. Default and most: 4 MiB. */
  readonly partBytes?: number;
  readonly signal?: AbortSignal;
}

/** What a delta is. */
export interface DeltaInfo {
  /** Of the file, absolute. */
  readonly path: string;
  readonly from?: Checksum;
  readonly to: Checksum;
  /** Of the whole file. */
  readonly bytes: number;
  readonly objects: number;
  /** Bytes of the objects uncompressed. */
  readonly contentBytes: number;
}

/**
 * Writes a delta of all objects that `to` needs and `from` does not. A file at the same path in `from` (or of the same name, when
 * it is the only one) is its dictionary. Large files go in parts, so that memory is bounded by some tens of MiB.
 *
 * @throws {OstreeNotFoundError | OstreeCorruptError} of either commit
 */
export async function generateDelta(
  repo: Repo,
  from: Checksum | undefined,
  to: Checksum,
  options: GenerateDeltaOptions = {},
): Promise<DeltaInfo> {
  // Shared with writers: no prune may take an object from under it.
  using _lock = await lockRepo(repo, "shared");
  const path = join(repo.path, deltaPath(from, to));
  const work = join(repo.path, "tmp", DELTA_WORK_PREFIX + randomBytes(8).toString("hex"));
  const objects: DeltaObject[] = [];
  let contentBytes = 0;
  // The header has the sizes of the parts, so that these are written first, beside it.
  const fd = openSync(work, "wx+", 0o644);
  try {
    for (const { object, base } of await changedObjects(repo, from, to)) {
      options.signal?.throwIfAborted();
      const parts: DeltaPart[] = [];
      for await (const part of writeParts(repo, object, base, options, (frame) => writeAll(fd, frame))) {
        parts.push(part);
        contentBytes += part.size;
      }
      objects.push({ ...(object as DeltaObject), ...(base !== undefined && { base }), parts });
    }
    const header = encodeDeltaHeader({ ...(from !== undefined && { from }), to, objects });
    const bytes = await assemble(path, header, fd);
    return { path, ...(from !== undefined && { from }), to, bytes, objects: objects.length, contentBytes };
  } finally {
    closeSync(fd);
    rmSync(work, { force: true });
  }
}

async function assemble(path: string, header: Uint8Array, body: number): Promise<number> {
  await mkdirDurable(dirname(path));
  const temporary = `${path}.tmp`;
  const handle = await open(temporary, "w", 0o644);
  let bytes = header.length;
  try {
    await handle.writeFile(header);
    const chunk = Buffer.alloc(1024 * 1024);
    for (let at = 0; ; ) {
      const length = readSync(body, chunk, 0, chunk.length, at);
      if (length === 0) break;
      await handle.writeFile(chunk.subarray(0, length));
      at += length;
      bytes += length;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
  await fsyncPath(dirname(path));
  return bytes;
}

interface ChangedObject {
  readonly object: LooseObject;
  readonly base?: Checksum;
}

/** Objects of `to` that `from` has not, with the object of `from` that is likely the most similar. */
async function changedObjects(repo: Repo, from: Checksum | undefined, to: Checksum): Promise<ChangedObject[]> {
  const old = new Set<string>();
  const before = new TreeIndex();
  if (from !== undefined) {
    for await (const { type, checksum } of walkCommit(repo, from)) old.add(`${checksum}.${type}`);
    await before.read(repo, from);
  }
  const after = new TreeIndex();
  await after.read(repo, to);
  const paths = new Map<string, string>();
  for (const [path, file] of after.files) paths.set(`${file}.file`, path);
  for (const [path, tree] of after.trees) paths.set(`${tree}.dirtree`, path);
  const changed: ChangedObject[] = [];
  for await (const object of walkCommit(repo, to)) {
    const key = `${object.checksum}.${object.type}`;
    if (old.has(key)) continue;
    const path = paths.get(key);
    const base = path === undefined ? undefined : before.similar(object.type, path);
    changed.push({ object, ...(base !== undefined && { base }) });
  }
  return changed;
}

/** Paths of a commit. */
class TreeIndex {
  readonly files = new Map<string, Checksum>();
  readonly trees = new Map<string, Checksum>();
  /** By last name; undefined when there are several. */
  readonly #byName = new Map<string, Checksum | undefined>();

  async read(repo: Repo, commit: Checksum): Promise<void> {
    const stack: [path: string, tree: Checksum][] = [["", (await loadCommit(repo, commit)).rootTree]];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const [path, tree] = next;
      this.trees.set(path, tree);
      const { files, dirs } = await loadDirTree(repo, tree);
      for (const [name, file] of files) {
        this.files.set(`${path}/${name}`, file);
        const other = this.#byName.get(name);
        this.#byName.set(name, this.#byName.has(name) && other !== file ? undefined : file);
      }
      for (const [name, subtree] of dirs) stack.push([`${path}/${name}`, subtree]);
    }
  }

  similar(type: LooseObject["type"], path: string): Checksum | undefined {
    if (type === "dirtree") return this.trees.get(path);
    return type === "file" ? (this.files.get(path) ?? this.#byName.get(basename(path))) : undefined;
  }
}

async function* writeParts(
  repo: Repo,
  { type, checksum }: LooseObject,
  base: Checksum | undefined,
  options: GenerateDeltaOptions,
  write: (frame: Uint8Array) => void,
): AsyncGenerator<DeltaPart, void, undefined> {
  const { content, size } = await streamOf(repo, type, checksum);
  const old = base === undefined ? undefined : await contentOf(repo, type, base);
  const window = old === undefined ? undefined : new BaseWindow(old.content);
  const reader = new ChunkReader(content);
  const partBytes = Math.min(options.partBytes ?? PART_BYTES_MAX, PART_BYTES_MAX);
  try {
    for (let at = 0; at === 0 || at < size; at += partBytes) {
      options.signal?.throwIfAborted();
      const bytes = await reader.upTo(partBytes);
      const middle = Math.min(at + partBytes / 2, size) / size;
      const range = old === undefined ? { offset: 0, length: 0 } : dictionaryRange(middle, old.size, 3 * partBytes);
      const dictionary = window === undefined ? undefined : await window.range(range.offset, range.length);
      const frame = await compressPart(bytes, dictionary, options.level ?? 19);
      write(frame);
      yield {
        dictionaryOffset: range.offset,
        dictionaryLength: range.length,
        size: bytes.length,
        stored: frame.length,
      };
    }
    // A file's content verifies itself only when it is read to its end.
    await reader.upTo(1);
  } finally {
    await reader.close();
    await window?.close();
  }
}

/** The whole base when it fits, else what lies around the same place, as far as it fits. */
function dictionaryRange(
  middle: number,
  baseSize: number,
  most: number,
): { readonly offset: number; readonly length: number } {
  if (baseSize <= most) return { offset: 0, length: baseSize };
  const offset = Math.round(middle * baseSize - most / 2);
  return { offset: Math.max(0, Math.min(baseSize - most, offset)), length: most };
}

/** Up to here the highest levels take less than a second. */
const HIGH_LEVEL_BYTES_MAX = 3 * 1024 * 1024;

async function compressPart(bytes: Uint8Array, dictionary: Uint8Array | undefined, level: number): Promise<Uint8Array> {
  const total = bytes.length + (dictionary?.length ?? 0);
  const windowLog = Math.min(WINDOW_LOG_MAX, Math.max(10, Math.ceil(Math.log2(total + 1))));
  const small = total <= HIGH_LEVEL_BYTES_MAX && dictionary !== undefined;
  return await compress(bytes, {
    ...(dictionary !== undefined && dictionary.length > 0 && { dictionary }),
    params: {
      [constants.ZSTD_c_compressionLevel]: small ? level : Math.min(level, 12),
      // Matches reach no further than the window, so it must hold the dictionary too.
      [constants.ZSTD_c_windowLog]: windowLog,
      // The level's own tables would forget most of a large dictionary: of 24 MiB that equal the content, 8 MiB became
      // 3.3 MB with them and 793 bytes with these. Long-distance matching did not help (12 times larger on a binary).
      ...(!small &&
        dictionary !== undefined && {
          [constants.ZSTD_c_hashLog]: windowLog - 1,
          [constants.ZSTD_c_chainLog]: windowLog,
        }),
      [constants.ZSTD_c_contentSizeFlag]: 1,
    },
  });
}

interface Stream {
  readonly content: AsyncIterable<Uint8Array>;
  readonly size: number;
}

/** An object's bytes as its checksum is over. */
async function streamOf(repo: Repo, type: LooseObject["type"], checksum: Checksum): Promise<Stream> {
  if (type !== "file") return await contentOf(repo, type, checksum);
  const file = await repo.readFile(checksum);
  const head = encodeFileHeader(file.header);
  async function* content() {
    yield head;
    yield* file.content();
  }
  return { content: content(), size: head.length + file.size };
}

/** An object's bytes as a dictionary: of a file, the content. */
export async function contentOf(repo: Repo, type: LooseObject["type"], checksum: Checksum): Promise<Stream> {
  if (type === "file") {
    const file = await repo.readFile(checksum);
    return { content: file.content(), size: file.size };
  }
  const bytes = await repo.readMetadata(type, checksum);
  async function* content() {
    yield bytes;
  }
  return { content: content(), size: bytes.length };
}
