import { UnitValueError } from "./errors.ts";
import { isBlank, skipBlanks } from "./text.ts";

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
  "'": "'",
  s: " ",
};

/** A word and how it was written: `;` and `\;` mean different things to Exec lines. */
export interface Word {
  readonly text: string;
  /** Exactly as in the file, quotes and escapes included. */
  readonly raw: string;
}

/**
 * Splits a value into words as systemd does: blanks separate, single and double quotes group, C escapes are replaced
 * inside and outside of quotes, an unknown escape stays as it is written. Source: systemd.syntax(7), "Quoting".
 *
 * @throws UnitValueError for an open quote, a NUL, or a byte escape that is not ASCII
 */
export function splitWords(value: string): Word[] {
  const words: Word[] = [];
  for (let i = skipBlanks(value); i < value.length; ) {
    const word = readWord(value, i);
    words.push({ text: word.text, raw: value.slice(i, word.end) });
    i = skipBlanks(value, word.end);
  }
  return words;
}

function readWord(value: string, start: number): { text: string; end: number } {
  let text = "";
  let quote = "";
  let i = start;
  while (i < value.length) {
    const char = value[i] ?? "";
    if (char === "\\") {
      const escape = readEscape(value, i);
      text += escape.text;
      i = escape.end;
      continue;
    }
    if (quote === "" && isBlank(char)) break;
    if (quote === "" && (char === '"' || char === "'")) quote = char;
    else if (quote === char) quote = "";
    else text += char;
    i++;
  }
  if (quote !== "")
    throw new UnitValueError(`the quote ${quote} that opens in ${JSON.stringify(clip(value))} is not closed`);
  return { text, end: i };
}

function readEscape(value: string, at: number): { text: string; end: number } {
  const kind = value[at + 1];
  if (kind === undefined) return { text: "\\", end: at + 1 };
  const simple = ESCAPES[kind];
  if (simple !== undefined && Object.hasOwn(ESCAPES, kind)) return { text: simple, end: at + 2 };
  const [digits, base, from] =
    kind === "x" ? [2, 16, at + 2] : kind === "u" ? [4, 16, at + 2] : kind === "U" ? [8, 16, at + 2] : [3, 8, at + 1];
  const number = value.slice(from, from + digits);
  const isNumber = number.length === digits && (base === 16 ? /^[0-9a-fA-F]+$/ : /^[0-7]+$/).test(number);
  if (!isNumber) return { text: value.slice(at, at + 2), end: at + 2 };
  const code = Number.parseInt(number, base);
  const raw = value.slice(at, from + digits);
  if (code === 0) throw new UnitValueError(`the escape ${raw} is a NUL character, which no argument can hold`);
  if (digits < 4 && code > 0x7f) {
    throw new UnitValueError(`the escape ${raw} is a lone byte above 0x7f; write the character itself or \\uXXXX`);
  }
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
    throw new UnitValueError(`the escape ${raw} is not a character`);
  return { text: String.fromCodePoint(code), end: from + digits };
}

/** Writes a word so that {@link splitWords} reads it back, quoting only when needed. */
export function quoteWord(word: string): string {
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word)) return word;
  let out = '"';
  for (const char of word) {
    const code = char.codePointAt(0) ?? 0;
    if (char === '"' || char === "\\") out += `\\${char}`;
    else if (char === "\n") out += "\\n";
    else if (code < 0x20 || code === 0x7f) out += `\\x${code.toString(16).padStart(2, "0")}`;
    else out += char;
  }
  return `${out}"`;
}

function clip(value: string): string {
  return value.length > 80 ? `${value.slice(0, 80)}…` : value;
}
