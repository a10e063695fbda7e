import { readdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { StoreFullError } from "./errors.ts";

/** Bytes that one pull may still write. */
export class Budget {
  #left: number;
  readonly #max: number;

  private constructor(left: number, max: number) {
    this.#left = left;
    this.#max = max;
  }

  /**
   * Counts what the directories hold.
   *
   * @param max bytes of all files together; infinite for none
   * @param reserve bytes of the disk that are left to others
   */
  static async of(directories: readonly string[], max: number, reserve: number): Promise<Budget> {
    let used = 0;
    for (const directory of Number.isFinite(max) ? directories : []) used += await directorySize(directory);
    const [first] = directories;
    const disk = first === undefined ? undefined : await statfs(first);
    const free = disk === undefined ? Number.POSITIVE_INFINITY : disk.bavail * disk.bsize - reserve;
    return new Budget(Math.min(max - used, free), max);
  }

  /** Whether so much would be there, without taking it. @throws StoreFullError */
  check(bytes: number): void {
    if (this.#left >= bytes) return;
    const limit = Number.isFinite(this.#max) ? ` (the store may hold ${this.#max} bytes)` : "";
    throw new StoreFullError(`there is no room for the image${limit}: remove images (rkt image gc) or allow more`);
  }

  /** @throws StoreFullError */
  take(bytes: number): void {
    this.check(bytes);
    this.#left -= bytes;
  }

  /** Gives back what was taken and is gone again. */
  giveBack(bytes: number): void {
    this.#left += bytes;
  }
}

/** Bytes of the files of a directory. */
export async function directorySize(directory: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(directory).catch(() => [])) {
    sum += (await stat(join(directory, name)).catch(() => undefined))?.size ?? 0;
  }
  return sum;
}
