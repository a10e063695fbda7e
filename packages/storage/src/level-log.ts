import { close, fdatasync, fstatSync, open, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { assert } from "@keelson/types";

const fdatasyncAsync = promisify(fdatasync);
const openAsync = promisify(open);
const closeAsync = promisify(close);

/** More than an empty memory table takes: its first blocks of 4 KiB, of which the last is only begun. */
const EMPTY_TABLE_BYTES = 2 * 4_096;

/** Numbers of LevelDB's log files in a directory, ascending. */
export function logNumbers(dir: string): number[] {
  return readdirSync(dir)
    .flatMap((name) => /^(\d+)\.log$/.exec(name)?.[1] ?? [])
    .map(Number)
    .toSorted((a, b) => a - b);
}

/** The path of a LevelDB log file. */
export function logPath(dir: string, number: number): string {
  return join(dir, `${String(number).padStart(6, "0")}.log`);
}

/**
 * Makes LevelDB's log durable across its switches from one log file to the next. LevelDB's own sync option covers the
 * current file only: unsynced batches at the end of the previous one can still be lost after a later synced write returned,
 * which leaves a hole. So a batch that may begin a new file goes to LevelDB unsynced and this class syncs: the previous file
 * first, then the current one. While no switch can come, LevelDB's own sync does, which saves a hop between threads.
 */
export class LevelLog implements AsyncDisposable {
  readonly #dir: string;
  readonly #writeBufferBytes: number;
  #fd: number;
  #number: number;
  #size: number;
  #switches = 0;
  /** At least what the memory table holds. */
  #tableBytesMax = EMPTY_TABLE_BYTES;
  #compactions = 0;

  private constructor(dir: string, writeBufferBytes: number, number: number, fd: number) {
    this.#dir = dir;
    this.#writeBufferBytes = writeBufferBytes;
    this.#number = number;
    this.#fd = fd;
    this.#size = fstatSync(fd).size;
  }

  /** Follows the log of a database that was just opened with that write buffer. */
  static async follow(dir: string, writeBufferBytes: number): Promise<LevelLog> {
    const number = logNumbers(dir).at(-1);
    assert(number !== undefined, "an open LevelDB has a log file", { dir });
    return new LevelLog(dir, writeBufferBytes, number, await openAsync(logPath(dir, number), "r"));
  }

  /** How often LevelDB began a new file. */
  get switches(): number {
    return this.#switches;
  }

  /** True when the next batch surely goes to the current file: LevelDB looks at the size of its table before each batch. */
  get staysInFile(): boolean {
    return this.#compactions === 0 && this.#tableBytesMax < this.#writeBufferBytes;
  }

  /** To be called after each batch, with its entries. Unless LevelDB began a new file, it does nothing that takes time. */
  async afterWrite(entries: number): Promise<void> {
    const { size } = fstatSync(this.#fd);
    // Every batch appends at least its header, so a file that did not grow is no longer the current one.
    const appended = size - this.#size;
    if (appended === 0) await this.#switch();
    else this.#size = size;
    this.#tableBytesMax += tableBytesMax(appended === 0 ? this.#size : appended, entries);
  }

  /** All batches so far are durable when it resolves. */
  async sync(): Promise<void> {
    await fdatasyncAsync(this.#fd);
  }

  /** Runs a compaction of LevelDB, which begins a new file at any time. */
  async duringCompaction(compact: () => Promise<void>): Promise<void> {
    this.#compactions++;
    try {
      await compact();
    } finally {
      this.#compactions--;
      // The next batch is the one that shows the new file.
      this.#tableBytesMax = this.#writeBufferBytes;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeAsync(this.#fd);
  }

  async #switch(): Promise<void> {
    await fdatasyncAsync(this.#fd);
    const next = logNumbers(this.#dir).at(-1);
    assert(next !== undefined && next > this.#number, "a batch was appended to a log file", {
      next,
      last: this.#number,
    });
    const fd = await openAsync(logPath(this.#dir, next), "r");
    await closeAsync(this.#fd);
    this.#fd = fd;
    this.#number = next;
    this.#size = fstatSync(fd).size;
    this.#tableBytesMax = EMPTY_TABLE_BYTES;
    this.#switches++;
  }
}

/**
 * More than entries of that many log bytes take in the memory table: a sequence number and a node each (34 bytes on average,
 * db/skiplist.h), and blocks of
 * 4 KiB of which allocations of up to a quarter may leave that much unused (util/arena.cc).
 */
function tableBytesMax(logBytes: number, entries: number): number {
  return ((logBytes + 40 * entries) * 4) / 3;
}
