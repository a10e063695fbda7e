import { assert, type Clock } from "@keelson/types";
import { checkChecksum } from "../core/checksum.ts";
import { metadataString } from "../core/decode.ts";
import { OstreeSpaceError } from "../core/errors.ts";
import { checkRefName, checkRemoteName } from "../core/names.ts";
import type { Checksum } from "../core/objects.ts";
import type { Repo, RepoTransaction } from "../repo/port.ts";
import { checkCommit, type TrustedCommit } from "./check-commit.ts";
import { isNoSpace } from "./errors.ts";
import { type FetchCounts, fetchTree } from "./fetch-tree.ts";
import { HttpSource } from "./http-source.ts";
import type { PullOptions, PullProgress, PullResult } from "./options.ts";
import { fetchDelta } from "./pull-delta.ts";
import { RemoteRepo } from "./remote-repo.ts";
import { decodeSizes } from "./sizes.ts";
import { checkSpace, type MinFreeSpace, SpaceBudget } from "./space.ts";

const PARALLEL_DEFAULT = 8;
const PARALLEL_MAX = 64;
const FILE_BYTES_MAX = 4 * 1024 ** 3;
/** `onProgress` is called at least once for so many bytes. */
const PROGRESS_BYTES = 256 * 1024;

/**
 * Pulls a commit over HTTP from an archive repository: the commit and its signature first, then what is missing of its tree,
 * each object verified while it streams. A pull that is cut off goes on where it was when it is repeated. The ref moves last.
 *
 * @throws OstreeFetchError a dead or bad server; OstreeBadObjectError wrong bytes; OstreeBadSignatureError, OstreeBadRefError,
 * OstreeDowngradeError a commit that is not to be taken; OstreeBadRemoteError no such repository; OstreeSpaceError
 */
export async function pull(repo: Repo, options: PullOptions): Promise<PullResult> {
  checkOptions(options);
  // Only who pulls and brings no clock pays for loading the module.
  const clock = options.clock ?? new (await import("@keelson/log")).SystemClock();
  const session = new PullSession(repo, options, clock);
  // Ports' timers do not keep a process alive; while we wait to try again, nothing else does.
  const alive = setInterval(() => {}, 60_000);
  try {
    return await session.run();
  } catch (error) {
    if (error instanceof OstreeSpaceError || !isNoSpace(error)) throw error;
    throw new OstreeSpaceError(
      `the file system of ${repo.path} became full during the pull; free space, then pull again: what arrived is kept`,
      { path: repo.path },
      { cause: error },
    );
  } finally {
    clearInterval(alive);
    session[Symbol.dispose]();
  }
}

function checkOptions(options: PullOptions): void {
  assert(options.ref !== undefined || options.commit !== undefined, "a pull names a ref or a commit");
  if (options.ref !== undefined) checkRefName(options.ref);
  if (options.commit !== undefined) checkChecksum(options.commit);
  if (options.remote !== undefined) checkRemoteName(options.remote);
  const { parallel = PARALLEL_DEFAULT } = options;
  assert(Number.isInteger(parallel) && parallel >= 1 && parallel <= PARALLEL_MAX, "parallel is 1 to 64", { parallel });
}

/** One run of {@link pull}. */
class PullSession implements Disposable {
  readonly #repo: Repo;
  readonly #options: PullOptions;
  readonly #minFree: MinFreeSpace;
  readonly #cancel = new AbortController();
  readonly #source: HttpSource;
  readonly #remote: RemoteRepo;
  readonly #counts: FetchCounts = { known: 0, here: 0, metadataFetched: 0, filesFetched: 0 };
  #phase: PullProgress["phase"] = "resolve";
  #bytes = 0;
  #bytesShown = 0;
  #bytesTotal: number | undefined;

  constructor(repo: Repo, options: PullOptions, clock: Clock) {
    this.#repo = repo;
    this.#options = options;
    this.#minFree = options.minFreeSpace ?? {
      percent: repo.config.minFreeSpaceSize === undefined ? repo.config.minFreeSpacePercent : 0,
      bytes: repo.config.minFreeSpaceSize ?? 0,
    };
    const signals = options.signal === undefined ? [] : [options.signal];
    this.#source = new HttpSource({
      url: options.url,
      headers: options.headers ?? {},
      parallel: options.parallel ?? PARALLEL_DEFAULT,
      retries: options.retries ?? 5,
      retryDelayMs: options.retryDelayMs ?? 500,
      limits: { idleMs: 30_000, bytesPerSecondMin: 1_000, windowMs: 30_000, ...options.speed },
      ...(options.ca !== undefined && { ca: options.ca }),
      clock,
      signal: AbortSignal.any([...signals, this.#cancel.signal]),
      onBytes: (bytes) => this.#count(bytes),
    });
    this.#remote = new RemoteRepo(this.#source);
  }

  [Symbol.dispose](): void {
    this.#source[Symbol.dispose]();
  }

  async run(): Promise<PullResult> {
    const repo = this.#repo;
    await this.#remote.checkConfig();
    const checksum = this.#options.commit ?? (await this.#remote.resolve(this.#options.ref as string));
    const isHere = await repo.has("commit", checksum);
    const wasComplete = isHere && !(await repo.isPartial(checksum));
    const bytes = isHere
      ? await repo.readMetadata("commit", checksum)
      : await this.#remote.metadata("commit", checksum);
    const commitmeta = (await this.#remote.commitmeta(checksum)) ?? (await this.#ownCommitmeta(checksum));
    const trusted = checkCommit(checksum, bytes, commitmeta, this.#options, this.#remote.url);
    if (!wasComplete) await this.#makeRoom(checksum, trusted);
    const deltaFrom = await this.#store(checksum, bytes, commitmeta, wasComplete ? undefined : trusted);
    this.#show("done");
    return this.#result(checksum, trusted, wasComplete, deltaFrom);
  }

  async #ownCommitmeta(checksum: Checksum): Promise<Uint8Array | undefined> {
    if (!(await this.#repo.has("commitmeta", checksum))) return undefined;
    return await this.#repo.readMetadata("commitmeta", checksum);
  }

  /** Garbage first, then the check: an update must not fail for what nobody needs any more. */
  async #makeRoom(checksum: Checksum, { commit }: TrustedCommit): Promise<void> {
    this.#show("space");
    const sizes = decodeSizes(commit);
    let needed: number | undefined;
    if (sizes !== undefined) {
      needed = 0;
      let wire = 0;
      for (const { type, checksum: object, archivedBytes, unpackedBytes } of sizes) {
        if (type !== undefined && (await this.#repo.has(type, object))) continue;
        // A file takes whole blocks.
        needed += Math.ceil(unpackedBytes / 4096) * 4096;
        wire += archivedBytes;
      }
      this.#bytesTotal = wire;
    }
    await this.#options.collectGarbage?.({
      commit: checksum,
      ...(needed !== undefined && { neededBytes: needed }),
    });
    await checkSpace(this.#repo.path, needed ?? 0, this.#minFree);
  }

  async #applyDelta(tx: RepoTransaction, to: Checksum, trusted: TrustedCommit): Promise<Checksum | null | undefined> {
    const { useDeltas = true, signal } = this.#options;
    if (!useDeltas) return undefined;
    this.#show("delta");
    return await fetchDelta({
      repo: this.#repo,
      tx,
      source: this.#source,
      to,
      from: await this.#deltaSources(trusted),
      minFree: this.#minFree,
      onTotal: (bytes) => {
        this.#bytesTotal = this.#bytes + bytes;
      },
      ...(signal && { signal }),
    });
  }

  async #deltaSources({ commit }: TrustedCommit): Promise<Checksum[]> {
    const own = this.#options.ref === undefined ? undefined : await this.#repo.resolve(this.#refspec() as string);
    const wanted = [own, ...(this.#options.deltaFrom ?? []), commit.parent];
    return [...new Set(wanted.filter((from) => from !== undefined))].slice(0, 4);
  }

  #refspec(): string | undefined {
    const { ref, remote } = this.#options;
    return ref === undefined || remote === undefined ? ref : `${remote}:${ref}`;
  }

  /** Writes the commit, fetches its tree if `trusted` is given, then moves the ref. Returns what a delta started from. */
  async #store(
    checksum: Checksum,
    bytes: Uint8Array,
    commitmeta: Uint8Array | undefined,
    trusted: TrustedCommit | undefined,
  ): Promise<Checksum | null | undefined> {
    let deltaFrom: Checksum | null | undefined;
    await using tx = await this.#repo.transaction();
    try {
      if (trusted !== undefined) await tx.setPartial(checksum, true);
      await tx.writeMetadata("commit", bytes, checksum);
      if (commitmeta !== undefined) await tx.writeMetadata("commitmeta", commitmeta, checksum);
      if (trusted !== undefined) {
        deltaFrom = await this.#applyDelta(tx, checksum, trusted);
        this.#show("objects");
        await this.#fetchTree(tx, trusted);
        await tx.setPartial(checksum, false);
      }
      const refspec = this.#refspec();
      if (refspec !== undefined) tx.setRef(refspec, checksum);
      await tx.commit();
      return deltaFrom;
    } catch (error) {
      // What arrived whole is worth keeping; when even that fails, the disk is full and it is dropped.
      await tx.checkpoint().catch(() => {});
      throw error;
    }
  }

  async #fetchTree(tx: RepoTransaction, trusted: TrustedCommit): Promise<void> {
    await fetchTree(trusted.commit, {
      repo: this.#repo,
      tx,
      remote: this.#remote,
      space: new SpaceBudget(this.#repo.path, this.#minFree),
      parallel: this.#options.parallel ?? PARALLEL_DEFAULT,
      fileBytesMax: this.#options.fileBytesMax ?? FILE_BYTES_MAX,
      counts: this.#counts,
      onObject: () => this.#show("objects"),
      cancel: (error) => this.#cancel.abort(error),
    });
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes - this.#bytesShown >= PROGRESS_BYTES) this.#show(this.#phase);
  }

  #show(phase: PullProgress["phase"]): void {
    this.#phase = phase;
    this.#bytesShown = this.#bytes;
    this.#options.onProgress?.({
      phase,
      objects: this.#counts.here,
      objectsKnown: this.#counts.known,
      bytes: this.#bytes,
      ...(this.#bytesTotal !== undefined && { bytesTotal: Math.max(this.#bytesTotal, this.#bytes) }),
    });
  }

  #result(
    checksum: Checksum,
    { commit, signedBy }: TrustedCommit,
    wasComplete: boolean,
    deltaFrom: Checksum | null | undefined,
  ): PullResult {
    const ref = this.#refspec();
    const version = metadataString(commit.metadata, "version");
    return {
      commit: checksum,
      ...(ref !== undefined && { ref }),
      ...(version !== undefined && { version }),
      timestamp: commit.timestamp,
      ...(signedBy !== undefined && { signedBy }),
      wasComplete,
      metadataFetched: this.#counts.metadataFetched,
      filesFetched: this.#counts.filesFetched,
      bytesTransferred: this.#bytes,
      ...(deltaFrom !== undefined && { deltaFrom }),
    };
  }
}
