import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DirectoryLockedError } from "../errors.ts";
import { readProcessStat } from "../proc.ts";

/**
 * Takes a directory for this process. A lock whose owner is gone, or whose pid now names another process, is taken over.
 *
 * @throws DirectoryLockedError while its owner lives
 */
export function lockDirectory(directory: string): Disposable {
  const path = join(directory, "lock");
  const mine = `${process.pid} ${startOf(process.pid)}`;
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, mine);
  try {
    for (let attempt = 0; ; attempt++) {
      try {
        linkSync(temporary, path); // fails when it exists, unlike rename, and is never half-written, unlike open
        break;
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== "EEXIST" || attempt >= 10) throw cause;
        const owner = readOwner(path);
        if (owner !== undefined && owner.text !== mine && isOwnerAlive(owner)) {
          throw new DirectoryLockedError(
            `${directory} is managed by process ${owner.pid}; stop it first`,
            { directory, pid: owner.pid },
            { cause },
          );
        }
        if (owner?.text === mine && held.has(path)) {
          throw new DirectoryLockedError(
            `${directory} is already managed by this process`,
            { directory, pid: process.pid },
            { cause },
          );
        }
        rmSync(path, { force: true });
      }
    }
  } finally {
    rmSync(temporary, { force: true });
  }
  held.add(path);
  return {
    [Symbol.dispose]() {
      held.delete(path);
      rmSync(path, { force: true });
    },
  };
}

/** Locks of this process, by path. */
const held = new Set<string>();

interface Owner {
  readonly text: string;
  readonly pid: number;
  readonly start: string;
}

function readOwner(path: string): Owner | undefined {
  try {
    const text = readFileSync(path, "utf8");
    const [pid = "", start = ""] = text.split(" ");
    return { text, pid: Number(pid), start };
  } catch {
    return undefined; // its owner let go meanwhile
  }
}

function isOwnerAlive(owner: Owner): boolean {
  if (!Number.isSafeInteger(owner.pid) || owner.pid < 1) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return owner.start === startOf(owner.pid);
}

/** Tells two processes with one pid apart; "0" where the platform does not say. */
function startOf(pid: number): string {
  return String(process.platform === "linux" ? (readProcessStat(pid)?.startTicks ?? 0) : 0);
}
