import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatUnit,
  parseUnit,
  UNIT_BYTES_MAX,
  UNIT_LINE_LENGTH_MAX,
  unfoldValue,
  valueOf,
  valuesOf,
} from "./document.ts";
import { UnitSyntaxError } from "./errors.ts";
import { attempt, unitText } from "./testing.ts";

describe("parseUnit", () => {
  it("keeps every byte of whatever it accepts, and otherwise names line and column", () => {
    fc.assert(
      fc.property(unitText, fc.boolean(), (text, headed) => {
        const input = headed ? `[Unit]\n${text}` : text;
        const result = attempt(() => parseUnit(input));
        if ("value" in result) return formatUnit(result.value) === input;
        const error = result.refusal;
        return (
          error instanceof UnitSyntaxError &&
          error.line >= 1 &&
          error.line <= input.split("\n").length &&
          error.column >= 1
        );
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ["a setting before any section", "A=b", "line 1, column 1: A= stands before the first [Section]"],
    [
      "a line without =",
      "[S]\nA=b\n  what",
      'line 3, column 3: expected "Name=value", a [Section] or a comment; the line has no "="',
    ],
    ["an open header", "[S", 'line 1, column 1: the section header has no closing "]"'],
    ["text after a header", "[S] x", 'line 1, column 5: unexpected text after the section header\'s "]"'],
    ["an empty header", "\n[ ]", "line 2, column 1: the section header is empty"],
    ["a setting without a name", "[S]\n =x", 'line 2, column 2: the setting has no name before "="'],
    ["a NUL", "[S]\nA=\0", "line 2, column 3: a unit file cannot hold a NUL character"],
    ["a NUL in a continuation", "[S]\nA=\\\nb\0", "line 3, column 2: a unit file cannot hold a NUL character"],
    [
      "a file too large",
      `[S]\n${"#\n".repeat(UNIT_BYTES_MAX)}`,
      `line 1, column 1: the unit file is larger than ${UNIT_BYTES_MAX} bytes`,
    ],
    [
      "a line too long",
      `[S]\nA=${"x".repeat(UNIT_LINE_LENGTH_MAX)}`,
      `line 2, column 131072: the line is longer than 131072 characters`,
    ],
  ])("refuses %s", (_title, text, message) => {
    expect(() => parseUnit(text)).toThrow(message);
  });

  it.each([
    ["plain", "A=b", "b", "b"],
    ["odd spacing", "  A\t=  b c  ", "b c", "b c"],
    ["an = in the value", "A=b=c", "b=c", "b=c"],
    ["a continuation", "A=b \\\n  c", "b \\\n  c", "b    c"],
    ["a continuation with CRLF", "A=b \\\r\n  c\r\n", "b \\\n  c", "b    c"],
    ["a comment inside a continuation", "A=b \\\n# no\n; no\nc", "b \\\n# no\n; no\nc", "b  c"],
    ["a continuation into a blank line", "A=b \\\n\nB=1", "b \\\n", "b"],
    ["a continuation into the end", "A=b \\", "b \\\n", "b"],
    ["two backslashes do not continue", "A=b\\\\\nB=1", "b\\\\", "b\\\\"],
    ["a comment sign inside a value", "A=b # c", "b # c", "b # c"],
    ["a no-break space is not blank", "A=\u00a0b", "\u00a0b", "\u00a0b"],
  ])("reads %s", (_title, text, value, unfolded) => {
    const node = parseUnit(`[S]\n${text}`).nodes[1];
    expect(node?.type === "option" && node.value).toBe(value);
    expect(unfoldValue(value)).toBe(unfolded);
  });

  it("skips a byte order mark and keeps it", () => {
    const text = "\uFEFF[S]\nA=b\n";
    expect(valueOf(parseUnit(text), "S", "A")).toBe("b");
    expect(formatUnit(parseUnit(text))).toBe(text);
  });
});

it("collects a list over repeated sections, and an empty assignment resets it", () => {
  const document = parseUnit("[S]\nA=1\n[T]\nA=x\n[S]\nA=\nA=2\nA=3\n[S]\nB=4\nB=\n");
  expect(valuesOf(document, "S", "A")).toEqual(["2", "3"]);
  expect(valueOf(document, "S", "A")).toBe("3");
  expect(valueOf(document, "S", "B")).toBeUndefined();
});
