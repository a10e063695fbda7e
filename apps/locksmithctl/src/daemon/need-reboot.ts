import { existsSync, mkdirSync, readFileSync, watch } from "node:fs";
import { basename, dirname } from "node:path";

/** Resolves when the file is there; its directory is made and watched. @throws the signal's reason */
export async function needReboot(path: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  mkdirSync(dirname(path), { recursive: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = () => void (existsSync(path) && resolve());
  const watcher = watch(dirname(path), (_event, name) => {
    if (name === null || name === basename(path)) look();
  });
  const abort = () => reject(signal.reason);
  watcher.on("error", reject);
  signal.addEventListener("abort", abort, { once: true });
  look(); // it may have come before the watch
  try {
    await promise;
  } finally {
    signal.removeEventListener("abort", abort);
    watcher.close();
  }
}

/** The version that is rebooted into, when the file says one: a line `VERSION=…`. */
export function versionIn(path: string): string | undefined {
  try {
    return /^VERSION=([\w.+~-]{1,128})$/m.exec(readFileSync(path, "utf8").slice(0, 4_096))?.[1];
  } catch {
    return undefined;
  }
}
