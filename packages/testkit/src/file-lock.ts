import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { eventually } from "./eventually.ts";

/**
 * Runs `fn` while no other process runs one under the same lock file. The file holds the holder's process id; that of a process
 * that is gone is taken over. For test set-up, not for what must never fail.
 */
export async function withFileLock<T>(path: string, fn: () => Promise<T>, timeoutMs = 300_000): Promise<T> {
  const own = `${path}.${process.pid}.${counter++}`;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(own, String(process.pid));
  try {
    await eventually(() => tryLock(path, own), { timeoutMs, what: `the lock ${path}` });
    try {
      return await fn();
    } finally {
      await rm(path, { force: true });
    }
  } finally {
    await rm(own, { force: true });
  }
}

let counter = 0;

async function tryLock(path: string, own: string): Promise<boolean> {
  try {
    // Unlike an exclusive create, the lock has its content from the first moment.
    await link(own, path);
    return true;
  } catch {
    const holder = Number(await readFile(path, "utf8").catch(() => "0"));
    if (holder > 0 && !isAlive(holder)) await rm(path, { force: true });
    return false;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
