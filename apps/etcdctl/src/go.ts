// How Go prints and parses, as far as etcdctl's output and errors show it.

const SIMPLE_ESCAPES: Readonly<Record<number, string>> = {
  7: "\\a",
  8: "\\b",
  9: "\\t",
  10: "\\n",
  11: "\\v",
  12: "\\f",
  13: "\\r",
  34: '\\"',
  92: "\\\\",
};

/** `%q`: a Go string literal. Bytes that are no UTF-8 become `\xNN`. */
export function quote(value: string | Uint8Array): string {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  let out = '"';
  for (let i = 0; i < bytes.length; ) {
    const length = runeLength(bytes, i);
    const byte = bytes[i] ?? 0;
    if (length === 0) {
      out += `\\x${hex2(byte)}`;
      i++;
      continue;
    }
    const char = new TextDecoder().decode(bytes.subarray(i, i + length));
    i += length;
    out += escapeChar(char);
  }
  return `${out}"`;
}

function escapeChar(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  const simple = SIMPLE_ESCAPES[code];
  if (simple !== undefined) return simple;
  // Go's IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII space.
  if (code === 32 || /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(char)) return char;
  if (code < 0x80) return `\\x${hex2(code)}`;
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

/** Bytes of the valid UTF-8 character at `at`, or 0. */
function runeLength(bytes: Uint8Array, at: number): number {
  const byte = bytes[at] ?? 0;
  const length = byte < 0x80 ? 1 : byte < 0xc2 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 0;
  if (length < 2) return length;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(at, at + length));
    return at + length <= bytes.length ? length : 0;
  } catch {
    return 0;
  }
}

function hex2(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

/** `\x66\x6f`: every byte in hex, as `--hex` prints keys and values. */
export function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => `\\x${hex2(b)}`).join("");
}

/** `%016x` of an id. */
export function hex16(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16).padStart(16, "0");
}

/** `time.Duration` of milliseconds: `2.5ms`, `1.2s`, `1m3s`. */
export function duration(ms: number): string {
  const ns = Math.round(ms * 1e6);
  if (ns === 0) return "0s";
  if (ns < 1_000) return `${ns}ns`;
  if (ns < 1_000_000) return `${trim(ns / 1_000, 3)}µs`;
  if (ns < 1_000_000_000) return `${trim(ns / 1_000_000, 6)}ms`;
  const seconds = ns / 1e9;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 0) return `${trim(seconds, 9)}s`;
  const rest = `${trim(seconds - minutes * 60, 9)}s`;
  return minutes < 60 ? `${minutes}m${rest}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${rest}`;
}

function trim(value: number, digits: number): string {
  return value.toFixed(digits).replace(/\.?0+$/, "");
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** `time.ParseDuration` in milliseconds, or undefined. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let ms = 0;
  for (const [, value, , unit] of text.matchAll(/(\d+(\.\d*)?)(ns|us|µs|ms|s|m|h)/g)) {
    ms += Number(value) * (UNIT_MS[unit ?? ""] ?? 0);
  }
  return ms;
}

/** Bytes as go-humanize prints them: `20 kB`, `1.2 MB`. */
export function humanBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  if (bytes < 10) return `${bytes} B`;
  const exponent = Math.min(units.length - 1, Math.floor(Math.log(bytes) / Math.log(1_000)));
  const value = Math.floor((bytes / 1_000 ** exponent) * 10 + 0.5) / 10;
  return `${value < 10 ? value.toFixed(1) : halfToEven(value)} ${units[exponent]}`;
}

// As Go's %.0f; JavaScript rounds a half up.
function halfToEven(value: number): number {
  const rounded = Math.round(value);
  return value % 1 === 0.5 && rounded % 2 === 1 ? rounded - 1 : rounded;
}

const INT64_MAX = 2n ** 63n - 1n;

/** `strconv.ParseInt` (or ParseUint) of 64 bits. Returns the error's text when it fails. */
export function parseInt64(text: string, base: 10 | 16, unsigned = false): bigint | string {
  const fn = unsigned ? "ParseUint" : "ParseInt";
  const digits = base === 10 ? /^[+-]?\d+$/ : /^[+-]?[0-9a-fA-F]+$/;
  const bad = (why: string) => `strconv.${fn}: parsing ${quote(text)}: ${why}`;
  if (!digits.test(text) || (unsigned && /^[+-]/.test(text))) return bad("invalid syntax");
  const magnitude = BigInt((base === 16 ? "0x" : "") + text.replace(/^[+-]/, ""));
  const value = text.startsWith("-") ? -magnitude : magnitude;
  const [min, max] = unsigned ? [0n, 2n ** 64n - 1n] : [-INT64_MAX - 1n, INT64_MAX];
  return value < min || value > max ? bad("value out of range") : value;
}
