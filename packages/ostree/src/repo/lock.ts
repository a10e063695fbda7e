import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { OstreeLockedError } from "../core/errors.ts";
import { tryLockFd } from "./native.ts";
import type { Repo } from "./port.ts";

const POLL_MS_MIN = 5;
const POLL_MS_MAX = 250;

/** Tries to lock a file, making it when needed. Undefined when another holds it. */
export function tryLock(path: string, kind: "shared" | "exclusive"): Disposable | undefined {
  const fd = openSync(path, "a+", 0o660);
  let locked = false;
  try {
    locked = tryLockFd(fd, kind);
  } finally {
    if (!locked) closeSync(fd);
  }
  if (!locked) return undefined;
  let open = true;
  return {
    [Symbol.dispose]() {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

/**
 * Locks a file, making it when needed: many may share it, one may have it exclusively. Ends when disposed, or with the
 * process. Upstream's programs take the same lock on `<repo>/.lock`. @throws {OstreeLockedError} after `timeoutMs`
 */
export async function lockFile(path: string, kind: "shared" | "exclusive", timeoutMs: number): Promise<Disposable> {
  const deadline = performance.now() + timeoutMs;
  for (let wait = POLL_MS_MIN; ; wait = Math.min(POLL_MS_MAX, wait * 2)) {
    const lock = tryLock(path, kind);
    if (lock !== undefined) return lock;
    if (performance.now() >= deadline) {
      throw new OstreeLockedError(`${path} is locked by another process`, { kind, timeoutMs });
    }
    await delay(wait);
  }
}

/** Locks a repository against upstream's programs and ours: writers share it, a prune has it alone. */
export async function lockRepo(
  repo: Pick<Repo, "path" | "lockTimeoutMs">,
  kind: "shared" | "exclusive",
): Promise<Disposable> {
  return await lockFile(join(repo.path, ".lock"), kind, repo.lockTimeoutMs);
}
