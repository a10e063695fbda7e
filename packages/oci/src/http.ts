/** The target of `rel="next"` of a Link header, as it was given (mostly relative); undefined when there is none. RFC 8288. */
export function parseNextLink(header: string): string | undefined {
  const links = /<([^<>]{1,4096})>((?:\s*;\s*[a-zA-Z0-9*_-]+(?:\s*=\s*(?:"[^"]{0,1024}"|[^\s",;]{1,1024}))?)*)/g;
  for (const match of header.slice(0, 16 * 1024).matchAll(links)) {
    const rel = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]+))/i.exec(match[2] ?? "");
    const names = (rel?.[1] ?? rel?.[2] ?? "").toLowerCase().split(/\s+/);
    if (names.includes("next")) return match[1];
  }
  return undefined;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const HTTP_DATE = /^[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/;

/**
 * How long a Retry-After header asks to wait, in milliseconds, at least 0. Undefined when it says nothing understandable. RFC 9110 §10.2.3.
 *
 * @param nowMs since the epoch; needed for the form with a date
 */
export function parseRetryAfter(header: string, nowMs: number): number | undefined {
  const text = header.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
  const match = HTTP_DATE.exec(text);
  if (match === null) return undefined;
  const [day, year, hour, minute, second] = [match[1], match[3], match[4], match[5], match[6]].map(Number);
  const month = MONTHS.indexOf(match[2] ?? "");
  if (month < 0 || day === undefined || year === undefined) return undefined;
  if (hour === undefined || minute === undefined || second === undefined) return undefined;
  if (hour > 23 || minute > 59 || second > 60 || day < 1 || day > 31) return undefined;
  const at = ((daysFromCivil(year, month + 1, day) * 24 + hour) * 60 + minute) * 60 + second;
  return Math.max(0, at * 1_000 - nowMs);
}

/** Days from 1970-01-01 in the Gregorian calendar. A pure core has no Date. */
function daysFromCivil(year: number, month: number, day: number): number {
  // Years are counted from March, so that the leap day comes last.
  const y = month <= 2 ? year - 1 : year;
  const monthFromMarch = (month + 9) % 12;
  const leaps = Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400);
  return y * 365 + leaps + Math.floor((153 * monthFromMarch + 2) / 5) + day - 1 - 719_468;
}

/** What part of the whole a 206 answer holds. RFC 9110 §14.4. */
export interface ContentRange {
  readonly start: number;
  /** Inclusive. */
  readonly end: number;
  /** Bytes of the whole; undefined when the server does not know. */
  readonly total: number | undefined;
}

/** Reads `bytes 10-99/100`; undefined when it is anything else. */
export function parseContentRange(header: string): ContentRange | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(header.trim());
  if (match === null) return undefined;
  const [start, end] = [Number(match[1]), Number(match[2])];
  const total = match[3] === "*" ? undefined : Number(match[3]);
  return end < start || (total !== undefined && end >= total) ? undefined : { start, end, total };
}
