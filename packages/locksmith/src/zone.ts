import { UTC, type Zone } from "./core/civil.ts";
import { LocksmithError } from "./core/errors.ts";

/**
 * A time zone of the IANA database, such as `Europe/Berlin`, through Intl. "" or `local`: this machine's.
 *
 * @throws {LocksmithError} ERR_WINDOW for a name that nobody knows
 */
export function timeZone(name: string): Zone {
  if (name === "UTC") return UTC;
  const isLocal = name === "" || name === "local" || name === "localtime";
  const format = formatOf(isLocal ? undefined : name);
  return { name: format.resolvedOptions().timeZone, offsetMs: (utcMs) => offsetOf(format, utcMs) };
}

function formatOf(timeZoneName: string | undefined): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat("en-US", {
      ...(timeZoneName === undefined ? {} : { timeZone: timeZoneName }),
      calendar: "gregory",
      numberingSystem: "latn",
      hourCycle: "h23",
      era: "short",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  } catch (cause) {
    const message = `unknown time zone ${JSON.stringify(timeZoneName)}: give one like Europe/Berlin, or UTC`;
    throw new LocksmithError("ERR_WINDOW", message, {}, { cause });
  }
}

function offsetOf(format: Intl.DateTimeFormat, utcMs: number): number {
  const seconds = Math.floor(utcMs / 1_000);
  const parts = new Map(format.formatToParts(seconds * 1_000).map(({ type, value }) => [type, value]));
  const number = (type: Intl.DateTimeFormatPartTypes) => Number(parts.get(type));
  const year = parts.get("era") === "BC" ? 1 - number("year") : number("year");
  const wall = Date.UTC(year, number("month") - 1, number("day"), number("hour"), number("minute"), number("second"));
  return wall - seconds * 1_000;
}
