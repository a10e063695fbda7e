import { describeError, isNoSpace, StoreOpenError, type StoreOpenReason } from "./errors.ts";

const HINTS: Record<Exclude<StoreOpenReason, "foreign" | "corrupt">, string> = {
  locked: "another process, or this one, has it open",
  permission: "permission denied",
  "no-space": "no space left on the device",
  io: "the operating system refused",
};

/** The content of a store is not what was written. */
export function damagedError(path: string, what: string, cause?: unknown): StoreOpenError {
  const hint = `${what}; restore the directory from a backup, or remove the member and add it anew`;
  return new StoreOpenError(path, "corrupt", hint, { cause });
}

/** Somebody has the store open. */
export function lockedError(path: string, cause?: unknown): StoreOpenError {
  return new StoreOpenError(path, "locked", HINTS.locked, { cause });
}

/** Finds the reason in what LevelDB or Node threw. */
export function toOpenError(path: string, error: unknown): StoreOpenError {
  if (error instanceof StoreOpenError) return error;
  // abstract-level wraps what LevelDB said.
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const text = describeError(cause);
  if (/corruption/i.test(text)) return damagedError(path, "LevelDB found damage", cause);
  const reason = reasonOf(cause, text);
  return new StoreOpenError(path, reason, HINTS[reason], { cause });
}

function reasonOf(cause: unknown, text: string): keyof typeof HINTS {
  if (/LEVEL_LOCKED/.test(text)) return "locked";
  if (/EACCES|EPERM|EROFS|permission denied|read-only file system/i.test(text)) return "permission";
  return isNoSpace(cause) ? "no-space" : "io";
}
