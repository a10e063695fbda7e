import { UnitSyntaxError } from "./errors.ts";
import { endsEscaped, indexOfControl, isBlank, skipBlanks, trimBlanks, utf8Length } from "./text.ts";

/** A unit file may be this long, in bytes of UTF-8. */
export const UNIT_BYTES_MAX = 1024 * 1024;
/** One line may be this long, in UTF-16 units, its end included. Fits a systemd line and the kernel's longest argument. */
export const UNIT_LINE_LENGTH_MAX = 128 * 1024;

/** A piece of a unit file. `raw` is its exact text with the line ends; `line` counts from 1. */
export type UnitNode =
  | { readonly type: "blank" | "comment"; readonly raw: string; readonly line: number }
  | { readonly type: "section"; readonly raw: string; readonly line: number; readonly name: string }
  | {
      readonly type: "option";
      readonly raw: string;
      readonly line: number;
      /** The section it stands in. */
      readonly section: string;
      readonly name: string;
      /**
       * The text after `=`, trimmed, with its continuation lines joined by `\n` and their backslashes kept: what
       * go-systemd, and so fleet's API, calls the value. {@link unfoldValue} gives what systemd acts on.
       */
      readonly value: string;
    };

/** A parsed unit file that can be written back byte for byte. Immutable; see edit.ts for changes. */
export interface UnitDocument {
  readonly nodes: readonly UnitNode[];
}

/**
 * Parses a unit file without losing anything: comments, blank lines, odd spacing, CRLF, repeated sections and keys.
 *
 * Stricter than systemd, which warns and ignores what it does not understand: here it is an error with its place.
 * Source: systemd.syntax(7).
 *
 * @throws UnitSyntaxError
 */
export function parseUnit(text: string): UnitDocument {
  checkSize(text);
  const nodes: UnitNode[] = [];
  let section: string | undefined;
  for (let at = 0, line = 1; at < text.length; ) {
    const first = lineAt(text, at, line);
    const start = skipBlanks(first.body, at === 0 && first.body.startsWith("\uFEFF") ? 1 : 0);
    const char = first.body[start];
    if (char === undefined || char === "#" || char === ";") {
      nodes.push({ type: char === undefined ? "blank" : "comment", raw: text.slice(at, first.end), line });
      at = first.end;
      line++;
    } else if (char === "[") {
      section = parseHeader(first.body, start, line);
      nodes.push({ type: "section", raw: text.slice(at, first.end), line, name: section });
      at = first.end;
      line++;
    } else {
      const option = parseOption(text, at, first, start, line);
      if (section === undefined) {
        throw new UnitSyntaxError(`${option.name}= stands before the first [Section]`, line, start + 1);
      }
      const raw = text.slice(at, option.end);
      nodes.push({ type: "option", raw, line, section, name: option.name, value: option.value });
      at = option.end;
      line += option.lines;
    }
  }
  return { nodes };
}

/** The file's text: for every text that parses, `formatUnit(parseUnit(text)) === text`. */
export function formatUnit(document: UnitDocument): string {
  return document.nodes.map((node) => node.raw).join("");
}

/** What systemd acts on: continuation lines joined by a blank, comment lines between them dropped. */
export function unfoldValue(value: string): string {
  if (!value.includes("\n")) return endsEscaped(value) ? trimBlanks(value.slice(0, -1)) : value;
  let joined = "";
  for (const [i, part] of value.split("\n").entries()) {
    const first = part[skipBlanks(part)];
    if (i > 0 && (first === "#" || first === ";")) continue;
    joined += endsEscaped(part) ? `${part.slice(0, -1)} ` : part;
  }
  return trimBlanks(joined);
}

/**
 * All values of a setting in file order over repeated sections, unfolded. An empty assignment drops those before it, as
 * systemd does for its list settings.
 */
export function valuesOf(document: UnitDocument, section: string, name: string): string[] {
  const values: string[] = [];
  for (const node of document.nodes) {
    if (node.type !== "option" || node.section !== section || node.name !== name) continue;
    const value = unfoldValue(node.value);
    if (value === "") values.length = 0;
    else values.push(value);
  }
  return values;
}

/** The last value of a setting, unfolded; undefined when it is missing or reset by an empty assignment. */
export function valueOf(document: UnitDocument, section: string, name: string): string | undefined {
  return valuesOf(document, section, name).at(-1);
}

function checkSize(text: string): void {
  if (text.length > UNIT_BYTES_MAX || utf8Length(text) > UNIT_BYTES_MAX) {
    throw new UnitSyntaxError(`the unit file is larger than ${UNIT_BYTES_MAX} bytes`, 1, 1);
  }
}

interface Line {
  /** Without the line end. */
  readonly body: string;
  /** Index after the line end. */
  readonly end: number;
}

function lineAt(text: string, at: number, line: number): Line {
  const newline = text.indexOf("\n", at);
  const end = newline === -1 ? text.length : newline + 1;
  if (end - at > UNIT_LINE_LENGTH_MAX) {
    throw new UnitSyntaxError(`the line is longer than ${UNIT_LINE_LENGTH_MAX} characters`, line, UNIT_LINE_LENGTH_MAX);
  }
  let bodyEnd = newline === -1 ? text.length : newline;
  if (bodyEnd > at && text[bodyEnd - 1] === "\r") bodyEnd--;
  const body = text.slice(at, bodyEnd);
  const nul = body.indexOf("\0");
  if (nul !== -1) throw new UnitSyntaxError("a unit file cannot hold a NUL character", line, nul + 1);
  return { body, end };
}

function parseHeader(body: string, start: number, line: number): string {
  const close = body.indexOf("]", start);
  if (close === -1) throw new UnitSyntaxError('the section header has no closing "]"', line, start + 1);
  const after = skipBlanks(body, close + 1);
  if (after < body.length)
    throw new UnitSyntaxError('unexpected text after the section header\'s "]"', line, after + 1);
  const name = body.slice(start + 1, close);
  if (trimBlanks(name) === "") throw new UnitSyntaxError("the section header is empty", line, start + 1);
  const control = indexOfControl(name);
  if (control !== -1)
    throw new UnitSyntaxError("a section name cannot hold control characters", line, start + control + 2);
  return name;
}

interface ParsedOption {
  readonly name: string;
  readonly value: string;
  readonly end: number;
  readonly lines: number;
}

function parseOption(text: string, at: number, first: Line, start: number, line: number): ParsedOption {
  const equals = first.body.indexOf("=", start);
  if (equals === -1) {
    throw new UnitSyntaxError('expected "Name=value", a [Section] or a comment; the line has no "="', line, start + 1);
  }
  const name = trimBlanks(first.body.slice(start, equals));
  if (name === "") throw new UnitSyntaxError('the setting has no name before "="', line, start + 1);
  const control = indexOfControl(name);
  if (control !== -1)
    throw new UnitSyntaxError("a setting's name cannot hold control characters", line, start + control + 1);
  const parts = [first.body.slice(equals + 1)];
  let end = first.end;
  let open = endsEscaped(first.body);
  while (open && end < text.length) {
    const next = lineAt(text, end, line + parts.length);
    end = next.end;
    parts.push(next.body);
    const char = next.body[skipBlanks(next.body)];
    // systemd skips comment lines inside a continued value and goes on with the line after them.
    open = char === "#" || char === ";" || endsEscaped(next.body);
  }
  return { name, value: joinParts(parts), end, lines: parts.length };
}

/** Joins as go-systemd does: a value that was continued into a blank line keeps that line's start. */
function joinParts(parts: readonly string[]): string {
  if (parts.length === 1) {
    const value = trimBlanks(parts[0] ?? "");
    // Continued into the end of the file. The newline keeps what is written after it out of the value.
    return endsEscaped(parts[0] ?? "") ? `${value}\n` : value;
  }
  const joined = parts.map((part) => (part.endsWith("\r") ? part.slice(0, -1) : part)).join("\n");
  const value = trimBlanks(joined);
  return isBlank(joined.at(-1)) && endsEscaped(value) ? `${value}\n` : value;
}
