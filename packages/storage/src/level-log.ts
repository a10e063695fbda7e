import { close, fdatasync, fstatSync, open, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { assert } from "@keelson/types";

const fdatasyncAsync = promisify(fdatasync);
const openAsync = promisify(open);
const closeAsync = promisify(close);

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
 * which leaves a hole. So writes go to LevelDB unsynced and this class syncs: the previous file first, then the current one.
 */
export class LevelLog implements AsyncDisposable {
  readonly #dir: string;
  #fd: number;
  #number: number;
  #size: number;
  #switches = 0;

  private constructor(dir: string, number: number, fd: number) {
    this.#dir = dir;
    this.#number = number;
    this.#fd = fd;
    this.#size = fstatSync(fd).size;
  }

  /** Follows the log of a database that is open. */
  static async follow(dir: string): Promise<LevelLog> {
    const number = logNumbers(dir).at(-1);
    assert(number !== undefined, "an open LevelDB has a log file", { dir });
    return new LevelLog(dir, number, await openAsync(logPath(dir, number), "r"));
  }

  /** How often LevelDB began a new file. */
  get switches(): number {
    return this.#switches;
  }

  /** To be called after each batch. Unless LevelDB began a new file, it does nothing that takes time. */
  async afterWrite(): Promise<void> {
    const { size } = fstatSync(this.#fd);
    // Every batch appends at least its header, so a file that did not grow is no longer the current one.
    if (size === this.#size) await this.#switch();
    else this.#size = size;
  }

  /** All batches so far are durable when it resolves. */
  async sync(): Promise<void> {
    await fdatasyncAsync(this.#fd);
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
    this.#switches++;
  }
}
