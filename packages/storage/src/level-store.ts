import { seal, unseal } from "./checksum.ts";
import { asReadError, StoreClosedError } from "./errors.ts";
import { expandRanges } from "./expand-ranges.ts";
import type { KvEntry, KvStore, ScanOptions, WriteOp, WriteOptions } from "./kv-store.ts";
import { LevelLog } from "./level-log.ts";
import { closeDatabase, type LevelDatabase, openDatabase } from "./open-database.ts";
import { WriteQueue } from "./write-queue.ts";

/** Options of {@link openLevelStore}. Sizes are in bytes. */
export interface LevelStoreOptions {
  /** Cache of uncompressed blocks. Default 32 MiB. */
  readonly cacheBytes?: number;
  /** Log and memory table are turned into a table file at this size. Default 8 MiB. */
  readonly writeBufferBytes?: number;
  /** Files that LevelDB keeps open. Default 1,000. */
  readonly openFilesMax?: number;
  /** Verify the checksum of every table when opening, which reads the whole store. Default true. */
  readonly verifyTables?: boolean;
}

/** The {@link KvStore} on LevelDB. */
export interface LevelStore extends KvStore {
  readonly path: string;
  /** How often LevelDB began a new log file. */
  readonly logSwitches: number;
  /** Merges the tables of a range, or of everything, to give back the room of what was deleted. */
  compact(gte?: Uint8Array, lt?: Uint8Array): Promise<void>;
}

const CHUNK_ENTRIES = 1_000;
const CHUNK_BYTES = 1024 * 1024;

/**
 * Opens the store in `path`, a directory of its own, and makes it if need be. Only one process can have it open.
 *
 * @throws StoreOpenError that says what is wrong with the directory, before anything was changed in it.
 */
export async function openLevelStore(path: string, options: LevelStoreOptions = {}): Promise<LevelStore> {
  const sizes = {
    cacheSize: options.cacheBytes ?? 32 * 1024 * 1024,
    writeBufferSize: options.writeBufferBytes ?? 8 * 1024 * 1024,
    maxOpenFiles: options.openFilesMax ?? 1_000,
  };
  const db = await openDatabase(path, sizes, options.verifyTables ?? true);
  return new ClassicLevelStore(path, db, await LevelLog.follow(path, sizes.writeBufferSize));
}

class ClassicLevelStore implements LevelStore {
  readonly path: string;
  readonly #db: LevelDatabase;
  readonly #log: LevelLog;
  readonly #queue: WriteQueue;
  #closing: Promise<void> | undefined;

  constructor(path: string, db: LevelDatabase, log: LevelLog) {
    this.path = path;
    this.#db = db;
    this.#log = log;
    this.#queue = new WriteQueue((ops, sync) => this.#apply(ops, sync));
  }

  get logSwitches(): number {
    return this.#log.switches;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    if (this.#closing !== undefined) throw new StoreClosedError();
    let stored: Uint8Array | undefined;
    try {
      stored = this.#db.getSync(key);
    } catch (error) {
      throw asReadError(this.path, error);
    }
    return stored === undefined ? undefined : unseal(key, stored);
  }

  write(ops: readonly WriteOp[], options: WriteOptions): Promise<void> {
    return this.#queue.write(ops, options);
  }

  async *scan(options: ScanOptions = {}): AsyncIterable<readonly KvEntry[]> {
    if (this.#closing !== undefined) throw new StoreClosedError();
    const iterator = this.#db.iterator({ ...options, highWaterMarkBytes: CHUNK_BYTES });
    try {
      for (;;) {
        const chunk = await iterator.nextv(CHUNK_ENTRIES);
        if (chunk.length === 0) return;
        yield chunk.map(([key, stored]) => [key, unseal(key, stored)] as const);
      }
    } catch (error) {
      throw asReadError(this.path, error);
    } finally {
      await iterator.close();
    }
  }

  async compact(gte = new Uint8Array(0), lt = new Uint8Array(64).fill(0xff)): Promise<void> {
    await this.#log.duringCompaction(() => this.#db.compactRange(gte, lt));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#queue.close();
    await closeDatabase(this.#db);
    await this.#log[Symbol.asyncDispose]();
  }

  async #apply(ops: readonly WriteOp[], sync: boolean): Promise<void> {
    const points = await expandRanges(ops, (gte, lt) => this.#scanKeys(gte, lt));
    // LevelDB appends nothing for an empty batch, and would tell the log follower a wrong tale.
    if (points.length > 0) {
      const isDirect = sync && this.#log.staysInFile;
      await this.#db.batch(
        points.map((op) =>
          op.type === "put"
            ? { type: "put" as const, key: op.key, value: seal(op.key, op.value) }
            : { type: "del" as const, key: op.key },
        ),
        { sync: isDirect },
      );
      await this.#log.afterWrite(points.length);
      if (isDirect) return;
    }
    if (sync) await this.#log.sync();
  }

  async *#scanKeys(gte: Uint8Array, lt: Uint8Array): AsyncIterable<readonly Uint8Array[]> {
    const iterator = this.#db.keys({ gte, lt, highWaterMarkBytes: CHUNK_BYTES });
    try {
      for (;;) {
        const keys = await iterator.nextv(CHUNK_ENTRIES);
        if (keys.length === 0) return;
        yield keys;
      }
    } finally {
      await iterator.close();
    }
  }
}
