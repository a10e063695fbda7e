import { UnitValueError } from "./errors.ts";
import { isBlank, skipBlanks, trimBlanks } from "./text.ts";

const SECOND_MS = 1000;
const DAY_MS = 86_400 * SECOND_MS;

/** Milliseconds of each unit. Source: systemd.time(7), "Parsing Time Spans". */
const UNIT_MS: Readonly<Record<string, number>> = {
  ...named(0.001, "usec", "us", "µs", "μs"),
  ...named(1, "msec", "ms"),
  ...named(SECOND_MS, "seconds", "second", "sec", "s", ""),
  ...named(60 * SECOND_MS, "minutes", "minute", "min", "m"),
  ...named(3600 * SECOND_MS, "hours", "hour", "hr", "h"),
  ...named(DAY_MS, "days", "day", "d"),
  ...named(7 * DAY_MS, "weeks", "week", "w"),
  ...named(30.44 * DAY_MS, "months", "month", "M"),
  ...named(365.25 * DAY_MS, "years", "year", "y"),
};

/** Signal numbers of Linux on common processors. Source: signal(7). */
export const SIGNALS: Readonly<Record<string, number>> = Object.fromEntries(
  (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT " +
    "CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
  )
    .split(" ")
    .map((name, i) => [`SIG${name}`, i + 1]),
);

/**
 * Parses a time span such as `90`, `1min 30s`, `1.5h` or `infinity` to milliseconds. A bare number is in seconds.
 *
 * @throws UnitValueError
 */
export function parseTimeSpan(value: string): number {
  const text = trimBlanks(value);
  if (text === "infinity") return Number.POSITIVE_INFINITY;
  const refuse = (): never => {
    throw new UnitValueError(
      `${JSON.stringify(value.slice(0, 80))} is not a time span such as "90", "1min 30s" or "infinity"`,
    );
  };
  if (text === "") refuse();
  let total = 0;
  for (let i = 0; i < text.length; i = skipBlanks(text, i)) {
    const numberEnd = scan(text, i, (char) => (char >= "0" && char <= "9") || char === ".");
    const number = text.slice(i, numberEnd);
    if (!/^(?:\d+\.?\d*|\.\d+)$/.test(number)) refuse();
    const unitStart = skipBlanks(text, numberEnd);
    const unitEnd = scan(text, unitStart, (char) => !isBlank(char) && !(char >= "0" && char <= "9") && char !== ".");
    const unit = text.slice(unitStart, unitEnd);
    if (!Object.hasOwn(UNIT_MS, unit)) refuse();
    total += Number(number) * (UNIT_MS[unit] ?? 0);
    i = unitEnd;
  }
  // A span that no timer can hold is one that never ends.
  return total > Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : total;
}

/** Source: systemd.syntax(7), boolean arguments. @throws UnitValueError */
export function parseBoolean(value: string): boolean {
  const text = value.toLowerCase();
  if (["1", "yes", "y", "true", "t", "on"].includes(text)) return true;
  if (["0", "no", "n", "false", "f", "off"].includes(text)) return false;
  throw new UnitValueError(`${JSON.stringify(value.slice(0, 80))} is not a boolean such as "yes" or "no"`);
}

/** The number of a signal given as `SIGTERM`, `TERM` or `15`. @throws UnitValueError */
export function parseSignal(value: string): number {
  const text = trimBlanks(value);
  if (/^\d{1,3}$/.test(text)) {
    const number = Number(text);
    if (number >= 1 && number <= 64) return number;
  }
  const name = text.startsWith("SIG") ? text : `SIG${text}`;
  const number = Object.hasOwn(SIGNALS, name) ? SIGNALS[name] : undefined;
  if (number !== undefined) return number;
  throw new UnitValueError(`${JSON.stringify(value.slice(0, 80))} is not a signal such as "SIGTERM" or "15"`);
}

/** `SIGTERM` for 15; the number itself for a signal without a name. */
export function signalName(number: number): string {
  return Object.keys(SIGNALS).find((name) => SIGNALS[name] === number) ?? String(number);
}

function named(milliseconds: number, ...names: string[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, milliseconds]));
}

function scan(text: string, from: number, accept: (char: string) => boolean): number {
  let i = from;
  while (i < text.length && accept(text[i] ?? "")) i++;
  return i;
}
