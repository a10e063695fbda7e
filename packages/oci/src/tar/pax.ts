import { LayerError } from "../errors.ts";
import { bytesToText } from "./header.ts";

const RECORDS_MAX = 2_000;
/** What keys of extended attributes begin with. */
export const XATTR_KEY = "SCHILY.xattr.";

/**
 * Reads the records of an extended header: `LENGTH KEY=VALUE\n` each. A later record of a key wins; an empty value takes the key away.
 * Keys and values are bytes as Latin-1. POSIX pax(1), "pax Extended Header".
 *
 * @throws LayerError
 */
export function parsePax(bytes: Uint8Array, into: Map<string, string> = new Map()): Map<string, string> {
  const text = bytesToText(bytes);
  let position = 0;
  for (let count = 0; position < text.length; count++) {
    if (count >= RECORDS_MAX) throw new LayerError("limit", `an extended header has more than ${RECORDS_MAX} records`);
    const space = text.indexOf(" ", position);
    const length = text.slice(position, space);
    if (space < 0 || !/^[1-9]\d{0,8}$/.test(length)) throw damaged();
    const end = position + Number(length);
    const equals = text.indexOf("=", space);
    if (end > text.length || text[end - 1] !== "\n" || equals <= space + 1 || equals >= end) throw damaged();
    const key = text.slice(space + 1, equals);
    const value = text.slice(equals + 1, end - 1);
    // An attribute without a value is still one: GNU tar writes them so.
    if (value === "" && !key.startsWith(XATTR_KEY)) into.delete(key);
    else into.set(key, value);
    position = end;
  }
  return into;
}

/** A non-negative integer of a record. @throws LayerError */
export function paxInteger(key: string, value: string): number {
  const result = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(result)) throw new LayerError("not-a-tar", `the extended header's ${key} is not a number`);
  return result;
}

/** Seconds and nanoseconds of a record such as `1700000000.25`. @throws LayerError */
export function paxTime(value: string): { readonly seconds: number; readonly nanos: number } {
  const match = /^(-?)(\d{1,12})(?:\.(\d{1,40}))?$/.exec(value);
  if (match === null) throw new LayerError("not-a-tar", "the extended header's mtime is not a time");
  const nanos = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  const seconds = Number(match[2]);
  if (match[1] === "") return { seconds, nanos };
  // -1.25 is 0.75 s after -2.
  return nanos === 0
    ? { seconds: seconds === 0 ? 0 : -seconds, nanos: 0 }
    : { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos };
}

function damaged(): LayerError {
  return new LayerError("not-a-tar", "an extended header is damaged");
}
