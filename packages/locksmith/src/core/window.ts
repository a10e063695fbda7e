import { instantOf, localDays, weekdayOf, type Zone } from "./civil.ts";
import { parseGoDuration } from "./duration.ts";
import { LocksmithError } from "./errors.ts";
import { queryEscape } from "./go-text.ts";

/** When a machine may reboot: every day or every week at a time of day, for a while. */
export interface RebootWindow {
  /** 0 is Sunday; undefined: every day. */
  readonly weekday: number | undefined;
  readonly startMs: number;
  /** Time that passes, not clock time: a window of one hour is one hour long in a night when clocks change too. */
  readonly lengthMs: number;
  readonly zone: Zone;
}

/** A window as of an instant: `[opensAtMs, closesAtMs)` is the present period, or the next one. Milliseconds UTC. */
export interface WindowStatus {
  readonly isOpen: boolean;
  readonly opensAtMs: number;
  readonly closesAtMs: number;
}

const DAY_MS = 86_400_000;
const WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/**
 * Parses `[Day ]HH:MM` and a Go duration, with upstream's rules and texts: shorter than a day for every day, than a week
 * for a day of the week. Source: locksmith pkg/timeutil/periodic.go.
 *
 * @throws {LocksmithError} ERR_WINDOW
 */
export function parseRebootWindow(start: string, length: string, zone: Zone): RebootWindow {
  const { weekday, startMs } = parseStart(start);
  const lengthMs = parseGoDuration(length);
  if (lengthMs === undefined) throw bad(`unable to parse duration: time: invalid duration ${JSON.stringify(length)}`);
  if (lengthMs < 0) throw bad("duration cannot be negative");
  if (lengthMs === 0) throw bad("duration cannot be zero: the window would never be open");
  if (lengthMs >= (weekday === undefined ? DAY_MS : 7 * DAY_MS)) throw bad("duration cannot exceed period");
  return { weekday, startMs, lengthMs, zone };
}

function parseStart(text: string): { weekday: number | undefined; startMs: number } {
  const fields = text.split(/[ \t]+/).filter((field) => field !== "");
  if (fields.length < 1 || fields.length > 2) throw bad("unable to parse start: wrong number of fields");
  const day = fields.length === 2 ? (fields[0] ?? "") : undefined;
  const weekday = day === undefined ? undefined : WEEKDAYS.indexOf(day.toLowerCase());
  if (weekday === -1) throw bad(`unable to parse start: invalid day of week ${JSON.stringify(day)}`);
  const time = fields.at(-1) ?? "";
  const match = /^(\d{1,2}):(\d{1,2})$/.exec(time);
  if (match === null) throw bad(`unable to parse start: invalid time of day ${JSON.stringify(time)}: it is no HH:MM`);
  const [hour, minute] = [Number(match[1]), Number(match[2])];
  const invalid = (what: string) => bad(`unable to parse start: invalid time of day ${JSON.stringify(time)}: ${what}`);
  if (hour > 23) throw invalid("hour must be >= 0 and <= 23");
  if (minute > 59) throw invalid("minute must be >= 0 and <= 59");
  return { weekday, startMs: (hour * 60 + minute) * 60_000 };
}

/** The present period of a window, or the next one. */
export function windowAt(window: RebootWindow, nowMs: number): WindowStatus {
  const today = localDays(nowMs, window.zone);
  // A period began at most a week ago, and the next begins within a week; one day more for what zones do.
  for (let days = today - 8; ; days++) {
    if (window.weekday !== undefined && weekdayOf(days) !== window.weekday) continue;
    const opensAtMs = instantOf(days, window.startMs, window.zone);
    const closesAtMs = opensAtMs + window.lengthMs;
    if (nowMs < closesAtMs) return { isOpen: opensAtMs <= nowMs, opensAtMs, closesAtMs };
  }
}

/**
 * A machine's own delay, in `[0, spanMs)`: always the same for one machine, and spread evenly over machines, so that not
 * all begin when a window opens.
 */
export function jitterMs(machineId: string, spanMs: number): number {
  return spanMs <= 0 ? 0 : Math.floor((hash32(machineId) / 2 ** 32) * spanMs);
}

/** FNV-1a with a finish that spreads short texts over all bits. */
function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (const char of queryEscape(text)) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
  for (const factor of [0x85ebca6b, 0xc2b2ae35]) hash = Math.imul(hash ^ (hash >>> 15), factor);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function bad(reason: string): LocksmithError {
  return new LocksmithError("ERR_WINDOW", reason);
}
