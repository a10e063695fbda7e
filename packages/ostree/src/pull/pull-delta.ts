import { DELTA_PREFIX_BYTES, decodeDeltaHeader, decodeDeltaPrefix } from "../core/delta-format.ts";
import { OstreeDeltaError } from "../core/errors.ts";
import type { Checksum } from "../core/objects.ts";
import { applyDelta } from "../delta/apply.ts";
import { deltaPath } from "../delta/files.ts";
import { ChunkReader } from "../repo/chunk-reader.ts";
import type { Repo, RepoTransaction } from "../repo/port.ts";
import { OstreeFetchError } from "./errors.ts";
import type { HttpSource } from "./http-source.ts";
import { checkSpace, type MinFreeSpace } from "./space.ts";

/** What {@link fetchDelta} works with. */
export interface FetchDeltaOptions {
  readonly repo: Repo;
  /** Objects are written to it; it is left open. */
  readonly tx: RepoTransaction;
  readonly source: HttpSource;
  readonly to: Checksum;
  /** Commits it may start from, best first; those that are not here as a whole are passed over. */
  readonly from: readonly Checksum[];
  readonly minFree: MinFreeSpace;
  /** Told how many bytes will come, when there is a delta. */
  readonly onTotal: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

/** A delta is at most this large; beyond it, loose objects are taken, which can be resumed one by one. */
const DELTA_BYTES_MAX = 2 * 1024 ** 3;

/**
 * Takes objects from a delta, if the server has one from a commit that is here (or one from nothing, when none is). Returns
 * what it started from, null for nothing; undefined when there is no delta or it failed: then loose objects are the way, and
 * what it brought before is kept.
 *
 * @throws OstreeSpaceError, and the signal's reason
 */
export async function fetchDelta(options: FetchDeltaOptions): Promise<Checksum | null | undefined> {
  const bases: (Checksum | null)[] = [];
  for (const commit of options.from) {
    if ((await options.repo.has("commit", commit)) && !(await options.repo.isPartial(commit))) bases.push(commit);
  }
  if (bases.length === 0) bases.push(null);
  for (const base of bases) if (await tryDelta(base, options)) return base;
  return undefined;
}

async function tryDelta(base: Checksum | null, options: FetchDeltaOptions): Promise<boolean> {
  const { repo, tx, source, to, signal } = options;
  try {
    const file = await source.open(deltaPath(base ?? undefined, to), () => DELTA_BYTES_MAX);
    if (file === undefined) return false;
    if (file.length !== undefined) options.onTotal(file.length);
    const reader = new ChunkReader(file.body);
    try {
      const start = await readStart(reader, options);
      await applyDelta(repo, rejoin(start, reader), { to, transaction: tx, ...(signal && { signal }) });
    } finally {
      await reader.close();
    }
    // Published, so that the walk that follows finds what came.
    await tx.checkpoint();
    return true;
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof OstreeDeltaError) && !(error instanceof OstreeFetchError)) throw error;
    await tx.checkpoint();
    return false;
  }
}

/** Reads the header, which says what the delta will need on the disk. Returns the bytes that were taken from the reader. */
async function readStart(reader: ChunkReader, options: FetchDeltaOptions): Promise<Uint8Array> {
  const prefix = await reader.upTo(DELTA_PREFIX_BYTES);
  const header = await reader.upTo(decodeDeltaPrefix(prefix));
  let needed = 0;
  for (const { type, checksum, parts } of decodeDeltaHeader(header).objects) {
    if (await options.repo.has(type, checksum)) continue;
    const bytes = parts.reduce((sum, { size }) => sum + size, 0);
    needed += Math.ceil(bytes / 4096) * 4096;
  }
  await checkSpace(options.repo.path, needed, options.minFree);
  return Buffer.concat([prefix, header]);
}

async function* rejoin(start: Uint8Array, reader: ChunkReader): AsyncGenerator<Uint8Array, void, undefined> {
  yield start;
  yield* reader.rest();
}
