import { statfs } from "node:fs/promises";
import { OstreeSpaceError } from "../core/errors.ts";

/** What must stay free on a file system; the larger of the two where both are given. */
export interface MinFreeSpace {
  /** Percent of the whole. */
  readonly percent?: number;
  readonly bytes?: number;
}

/** A file system's room as an unprivileged process sees it. */
export interface Space {
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly blockBytes: number;
  /** 0 in `filesTotal` where the file system has no limit. */
  readonly freeFiles: number;
  readonly filesTotal: number;
}

/** Upstream's default of `min-free-space-percent`. */
export const MIN_FREE_PERCENT = 3;

/** Reads the room of the file system that `path` is on. */
export async function readSpace(path: string): Promise<Space> {
  const fs = await statfs(path);
  return {
    totalBytes: fs.blocks * fs.bsize,
    freeBytes: fs.bavail * fs.bsize,
    blockBytes: fs.bsize,
    freeFiles: fs.ffree,
    filesTotal: fs.files,
  };
}

/** What must stay free, bytes. */
export function reservedBytes(space: Space, minFree: MinFreeSpace): number {
  return Math.max(Math.ceil((space.totalBytes * (minFree.percent ?? 0)) / 100), minFree.bytes ?? 0);
}

/**
 * Refuses when `neededBytes` more would not leave what must stay free.
 *
 * @throws OstreeSpaceError
 */
export async function checkSpace(path: string, neededBytes: number, minFree: MinFreeSpace): Promise<Space> {
  const space = await readSpace(path);
  const reserved = reservedBytes(space, minFree);
  const left = space.freeBytes - neededBytes;
  if (left < reserved || (neededBytes > 0 && left <= 0)) throw noSpace(path, space, neededBytes, reserved);
  if (space.filesTotal > 0 && space.freeFiles === 0) {
    throw new OstreeSpaceError(`no inode is free below ${path}; delete files or old deployments`, { path });
  }
  return space;
}

/** How many bytes are written before the file system is asked again. */
const RECHECK_BYTES = 16 * 1024 * 1024;

/** Keeps parallel writers from eating what must stay free, without asking the file system before each file. */
export class SpaceBudget {
  readonly #path: string;
  readonly #minFree: MinFreeSpace;
  #granted = 0;
  /** Taken, and perhaps not written yet. */
  #inFlight = 0;
  #checking: Promise<void> = Promise.resolve();

  constructor(path: string, minFree: MinFreeSpace) {
    this.#path = path;
    this.#minFree = minFree;
  }

  /** Call before writing so many bytes; dispose of the answer when they are written, or will not be. @throws OstreeSpaceError */
  async take(bytes: number): Promise<Disposable> {
    // One at a time: two writers must not both be granted the same room.
    const check = this.#checking.then(async () => {
      if (bytes > this.#granted) await this.#grant(bytes);
      this.#granted -= bytes;
      this.#inFlight += bytes;
    });
    this.#checking = check.catch(() => {});
    await check;
    return {
      [Symbol.dispose]: () => {
        this.#inFlight -= bytes;
      },
    };
  }

  async #grant(bytes: number): Promise<void> {
    const space = await checkSpace(this.#path, bytes + this.#inFlight, this.#minFree);
    const room = space.freeBytes - reservedBytes(space, this.#minFree) - this.#inFlight;
    this.#granted = Math.min(room, bytes + RECHECK_BYTES);
  }
}

/** The error of a full file system, with what would be needed. */
function noSpace(path: string, space: Space, needed: number, reserved: number): OstreeSpaceError {
  const missing = needed + reserved - space.freeBytes;
  const kept = reserved > 0 ? ` and ${size(reserved)} must stay free` : "";
  return new OstreeSpaceError(
    `no space below ${path}: ${size(needed)} are needed${kept}, ${size(space.freeBytes)} of ${size(space.totalBytes)} are free; ` +
      `free ${size(Math.max(missing, 0))} (old deployments, files in /var), then try again: what arrived is kept`,
    { path, neededBytes: needed, reservedBytes: reserved, freeBytes: space.freeBytes, totalBytes: space.totalBytes },
  );
}

function size(bytes: number): string {
  if (bytes < 10 * 1024) return `${bytes} B`;
  return bytes < 10 * 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KiB` : `${Math.ceil(bytes / 1024 / 1024)} MiB`;
}
