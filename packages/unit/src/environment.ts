import { UnitSyntaxError, UnitValueError } from "./errors.ts";
import { isBlank, skipBlanks, trimBlanks } from "./text.ts";
import { splitWords } from "./words.ts";

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** An environment file may be this long, in UTF-16 units. */
export const ENVIRONMENT_FILE_LENGTH_MAX = 1024 * 1024;

/** Whether `name` can be a variable's name. */
export function isVariableName(name: string): boolean {
  return NAME.test(name);
}

/** The assignments of one Environment= line. Source: systemd.exec(5). @throws UnitValueError */
export function parseEnvironment(value: string): (readonly [name: string, value: string])[] {
  return splitWords(value).map(({ text }) => {
    const equals = text.indexOf("=");
    const name = equals === -1 ? text : text.slice(0, equals);
    if (equals === -1 || !NAME.test(name)) {
      throw new UnitValueError(`Environment= holds ${JSON.stringify(text.slice(0, 80))}, which is not NAME=value`);
    }
    return [name, text.slice(equals + 1)] as const;
  });
}

/**
 * Parses a file named by EnvironmentFile=: `NAME=value` lines, `#` and `;` comments, shell-like quotes, a backslash at a
 * line's end continues it. Lines that are no assignment are skipped, as systemd does; an open quote is an error.
 *
 * @throws UnitSyntaxError
 */
export function parseEnvironmentFile(text: string): (readonly [name: string, value: string])[] {
  if (text.length > ENVIRONMENT_FILE_LENGTH_MAX) {
    throw new UnitSyntaxError(`the environment file is longer than ${ENVIRONMENT_FILE_LENGTH_MAX} characters`, 1, 1);
  }
  const assignments: (readonly [string, string])[] = [];
  for (let i = skipBlanks(text); i < text.length; i = skipBlanks(text, i)) {
    const end = endOfLine(text, i);
    const equals = text.indexOf("=", i);
    if (text[i] === "#" || text[i] === ";") i = endOfComment(text, i);
    else if (equals === -1 || equals >= end) i = end;
    else {
      const value = readValue(text, equals + 1);
      const name = trimBlanks(text.slice(i, equals));
      if (NAME.test(name)) assignments.push([name, value.text]);
      i = value.end;
    }
  }
  return assignments;
}

function endOfLine(text: string, at: number): number {
  const newline = text.indexOf("\n", at);
  return newline === -1 ? text.length : newline;
}

/** A backslash continues comments too. */
function endOfComment(text: string, at: number): number {
  let i = at;
  while (i < text.length && text[i] !== "\n") i += text[i] === "\\" ? 2 : 1;
  return i;
}

function readValue(text: string, at: number): { text: string; end: number } {
  let out = "";
  let kept = 0; // length of `out` that trailing blanks may not be trimmed into: it was quoted or escaped
  let i = at;
  while (i < text.length && text[i] !== "\n" && isBlank(text[i])) i++;
  while (i < text.length && text[i] !== "\n") {
    const char = text[i] ?? "";
    if (char === "\\") {
      const next = text[i + 1] ?? "";
      if (next !== "\n") out += next;
      kept = out.length;
      i += 2;
    } else if (char === '"' || char === "'") {
      const quoted = readQuoted(text, i, char);
      out += quoted.text;
      kept = out.length;
      i = quoted.end;
    } else {
      out += char;
      i++;
    }
  }
  let end = out.length;
  while (end > kept && isBlank(out[end - 1])) end--;
  return { text: out.slice(0, end), end: i };
}

function readQuoted(text: string, open: number, quote: string): { text: string; end: number } {
  let out = "";
  for (let i = open + 1; i < text.length; i++) {
    const char = text[i] ?? "";
    if (char === quote) return { text: out, end: i + 1 };
    if (char === "\\" && quote === '"') {
      const next = text[++i] ?? "";
      // As in sh: only these are escapes between double quotes.
      if ('"\\`$'.includes(next)) out += next;
      else if (next !== "\n") out += `\\${next}`;
    } else out += char;
  }
  const before = text.slice(0, open);
  const line = before.split("\n").length;
  throw new UnitSyntaxError(`the quote ${quote} is not closed`, line, open - before.lastIndexOf("\n"));
}
