import { LocksmithError } from "./errors.ts";
import { compareGo, goJsonString } from "./go-text.ts";

/** The value that all machines of a group share. Source: locksmith lock/semaphore.go. */
export interface Semaphore {
  /** Slots in all. */
  readonly max: number;
  /** Ids of those who hold one, each once, in the order of their bytes. */
  readonly holders: readonly string[];
  /** How it was written, and so will be written again: by locksmith, or by airlock. */
  readonly form: "locksmith" | "airlock";
}

/** What upstream creates when there is none. */
export const INITIAL_SEMAPHORE: Semaphore = { max: 1, holders: [], form: "locksmith" };

export const HOLDERS_MAX = 10_000;
export const ID_BYTES_MAX = 256;
const MAX_MAX = 2 ** 31 - 1;

/** Slots that are free. Negative when the maximum was lowered below the number of holders. */
export function freeSlots(semaphore: Semaphore): number {
  return semaphore.max - semaphore.holders.length;
}

/** Upstream's JSON, byte for byte: `{"semaphore":1,"max":1,"holders":null}`. */
export function encodeSemaphore(semaphore: Semaphore): string {
  const holders = semaphore.holders.map(goJsonString).join(",");
  if (semaphore.form === "airlock") return `{"total_slots":${semaphore.max},"holders":[${holders}]}`;
  const list = semaphore.holders.length === 0 ? "null" : `[${holders}]`;
  return `{"semaphore":${freeSlots(semaphore)},"max":${semaphore.max},"holders":${list}}`;
}

/**
 * Reads the JSON of locksmith or airlock. The number of free slots is not read but counted: it could only be wrong.
 *
 * @throws {LocksmithError} ERR_SEMAPHORE_FORMAT
 */
export function parseSemaphore(text: string): Semaphore {
  const value = parseObject(text);
  const form = "total_slots" in value ? "airlock" : "locksmith";
  const max = value[form === "airlock" ? "total_slots" : "max"];
  if (typeof max !== "number" || !Number.isInteger(max) || Math.abs(max) > MAX_MAX) {
    throw malformed(text, "its maximum is not a whole number");
  }
  const holders = value["holders"] ?? [];
  if (!Array.isArray(holders) || holders.length > HOLDERS_MAX || !holders.every((id) => typeof id === "string")) {
    throw malformed(text, `its holders are not a list of at most ${HOLDERS_MAX} ids`);
  }
  return { max, holders: [...new Set(holders as string[])].toSorted(compareGo), form };
}

/** What a transition gives: the next value (the same one when there is nothing to change), or upstream's refusal. */
export type Transition =
  | { readonly ok: true; readonly semaphore: Semaphore; readonly isChanged: boolean }
  | { readonly ok: false; readonly code: "ERR_SEMAPHORE_FULL" | "ERR_HOLDER_MISSING"; readonly reason: string };

/** Takes a slot for `id`. A holder may lock again: nothing changes (FleetLock's RecursiveLock; upstream refuses). */
export function lockSlot(semaphore: Semaphore, id: string): Transition {
  if (semaphore.holders.includes(id)) return { ok: true, semaphore, isChanged: false };
  const free = freeSlots(semaphore);
  if (free <= 0) return { ok: false, code: "ERR_SEMAPHORE_FULL", reason: `semaphore is at ${free}` };
  const holders = [...semaphore.holders, id].toSorted(compareGo);
  return { ok: true, semaphore: { ...semaphore, holders }, isChanged: true };
}

/** Gives the slot of `id` back. */
export function unlockSlot(semaphore: Semaphore, id: string): Transition {
  if (!semaphore.holders.includes(id)) {
    return { ok: false, code: "ERR_HOLDER_MISSING", reason: "holder does not exist" };
  }
  const holders = semaphore.holders.filter((holder) => holder !== id);
  return { ok: true, semaphore: { ...semaphore, holders }, isChanged: true };
}

/** Changes the number of slots. Below the number of holders the free slots go negative, and drain. */
export function setMaxSlots(semaphore: Semaphore, max: number): Semaphore {
  if (!Number.isInteger(max) || max < 0 || max > MAX_MAX) {
    throw new LocksmithError("ERR_INVALID_MAX", `the maximum must be a whole number from 0 to ${MAX_MAX}`, { max });
  }
  return { ...semaphore, max };
}

/** @throws {LocksmithError} ERR_INVALID_HOLDER */
export function checkHolderId(id: string): void {
  const isSane = id.length > 0 && id.length <= ID_BYTES_MAX && !/\p{Cc}/u.test(id) && id.isWellFormed();
  if (isSane) return;
  throw new LocksmithError(
    "ERR_INVALID_HOLDER",
    `${JSON.stringify(id.slice(0, 80))} is no id of a holder: give 1 to ${ID_BYTES_MAX} printable characters`,
  );
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw malformed(text, "it is not JSON", cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw malformed(text, "it is no object");
  return value as Record<string, unknown>;
}

function malformed(text: string, why: string, cause?: unknown): LocksmithError {
  const message = `the semaphore in etcd cannot be read, ${why}: ${text.slice(0, 200)}`;
  return new LocksmithError("ERR_SEMAPHORE_FORMAT", message, {}, cause === undefined ? undefined : { cause });
}
