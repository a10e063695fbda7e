import { CoreError } from "@keelson/types";

/**
 * Why a store could not be opened: another process has it, its content is damaged, it is something else than a store,
 * or the operating system refused.
 */
export type StoreOpenReason = "locked" | "corrupt" | "foreign" | "permission" | "no-space" | "io";

/** A store could not be opened; nothing on disk was changed. */
export class StoreOpenError extends CoreError<"ERR_STORE_OPEN"> {
  readonly code = "ERR_STORE_OPEN";
  readonly path: string;
  readonly reason: StoreOpenReason;

  constructor(path: string, reason: StoreOpenReason, hint: string, options?: { cause?: unknown }) {
    super(`cannot open the store in ${path}: ${hint}`, { path, reason }, options);
    this.path = path;
    this.reason = reason;
  }
}

/** Why a write failed; `refused` is a write after a failed one, `too-large` a range delete beyond its bound. */
export type StoreWriteReason = "no-space" | "io" | "refused" | "too-large";

/** A batch was not written, or nobody knows whether it was. The store takes no more writes, save after `too-large`. */
export class StoreWriteError extends CoreError<"ERR_STORE_WRITE"> {
  readonly code = "ERR_STORE_WRITE";
  readonly reason: StoreWriteReason;

  constructor(reason: StoreWriteReason, message: string, options?: { cause?: unknown }) {
    super(message, { reason }, options);
    this.reason = reason;
  }
}

/** Stored bytes are not those that were written. The store must not be trusted any more. */
export class StoreCorruptError extends CoreError<"ERR_STORE_CORRUPT"> {
  readonly code = "ERR_STORE_CORRUPT";
}

/** The store was used after `close`. */
export class StoreClosedError extends CoreError<"ERR_STORE_CLOSED"> {
  readonly code = "ERR_STORE_CLOSED";

  constructor() {
    super("the store is closed");
  }
}

/** What a read of LevelDB threw, as an error of this package. */
export function asReadError(path: string, error: unknown): unknown {
  if (!/LEVEL_CORRUPTION|corruption/i.test(describeError(error))) return error;
  return new StoreCorruptError(`the store in ${path} is damaged`, { path }, { cause: error });
}

/** Code and message of what LevelDB or Node threw, for matching. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${"code" in error ? String(error.code) : ""} ${error.message}`;
}

/** True when the operating system said that there is no room, in any of its wordings. */
export function isNoSpace(error: unknown): boolean {
  for (let e = error, depth = 0; e instanceof Error && depth < 8; e = e.cause, depth++) {
    if ("code" in e && (e.code === "ENOSPC" || e.code === "EDQUOT")) return true;
    if (/no space left|disk quota exceeded/i.test(e.message)) return true;
  }
  return false;
}
