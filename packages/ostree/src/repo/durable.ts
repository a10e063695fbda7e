import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

/** Makes a file's or directory's content durable. */
export async function fsyncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Replaces a file: temporary file beside it, fsync, rename, fsync of the directory. A crash leaves the old or the new.
 * With `durable` false nothing is fsynced, but the step is still one.
 */
export async function writeFileDurable(
  path: string,
  bytes: Uint8Array | string,
  options: { readonly mode?: number; readonly durable?: boolean } = {},
): Promise<void> {
  const temporary = join(dirname(path), `.tmp-${randomBytes(8).toString("hex")}`);
  try {
    const handle = await open(temporary, "wx", options.mode ?? 0o644);
    try {
      await handle.writeFile(bytes);
      if (options.durable !== false) await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  if (options.durable !== false) await fsyncPath(dirname(path));
}

/** Makes a directory and its parents, and makes them durable. */
export async function mkdirDurable(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let at = path; ; at = dirname(at)) {
    await fsyncPath(dirname(at));
    if (at === first) return;
  }
}

const SYNC_PROGRAM = ["/usr/bin/sync", "/bin/sync"].find((path) => existsSync(path));
/** From so many files on, syncing the whole file system is cheaper than each. */
const SYNCFS_FILES_MIN = 32;
/** fsyncs at once: enough for a journal to group them, few enough for libuv's pool. */
const FSYNC_PARALLEL = 4;

/**
 * Makes many files below `dir` durable: each by fsync when they are few, else by syncfs(2) of the file system (which
 * upstream always does). Symbolic links cannot be synced themselves; `dir` is.
 */
export async function syncFiles(dir: string, files: readonly string[]): Promise<void> {
  if (files.length >= SYNCFS_FILES_MIN && process.platform === "linux" && SYNC_PROGRAM !== undefined) {
    // syncfs in a process of its own: in this one it would stop the event loop for as long as the disk takes.
    await promisify(execFile)(SYNC_PROGRAM, ["-f", dir]);
    return;
  }
  await forEachParallel(FSYNC_PARALLEL, files, fsyncPath);
  await fsyncPath(dir);
}

/** Runs `fn` on each item, at most `parallel` at once. The first failure ends it, after those under way. */
export async function forEachParallel<T>(
  parallel: number,
  items: Iterable<T>,
  fn: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  let failed = false;
  const worker = async () => {
    for (let next = queue.next(); !next.done && !failed; next = queue.next()) {
      try {
        await fn(next.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: parallel }, worker));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
