import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { duration, humanBytes, parseDuration, parseInt64, quote } from "./go.ts";
import { unquote } from "./unquote.ts";
import { splitWords } from "./words.ts";

it.each([
  ['a"b\\c\n\x01\x7f', '"a\\"b\\\\c\\n\\x01\\x7f"'],
  ["ü☺\u00a0\u{1f600}", '"ü☺\\u00a0😀"'],
  [new Uint8Array([0x61, 0xff, 0xc3, 0x28]), '"a\\xff\\xc3("'],
])("quotes %j as Go does", (value, want) => expect(quote(value)).toBe(want));

it("reads back what it quotes", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (s) => {
      expect(unquote(quote(s))).toBe(s);
    }),
  );
});

describe("numbers as Go prints and parses them", () => {
  it.each([
    [0.0005, "500ns"],
    [0.0015, "1.5µs"],
    [7.590781, "7.590781ms"],
    [5000, "5s"],
    [61500, "1m1.5s"],
    [3_661_000, "1h1m1s"],
  ])("%d ms is %s", (ms, want) => expect(duration(ms)).toBe(want));

  it.each([
    ["5s", 5000],
    ["1m30s", 90_000],
    ["1.5h", 5_400_000],
    ["200ms", 200],
    ["0", 0],
    ["5", undefined],
    ["s", undefined],
    ["", undefined],
  ])("%s is %d ms", (text, want) => expect(parseDuration(text)).toBe(want));

  it.each([
    [20_480, "20 kB"],
    [1_234_567, "1.2 MB"],
    [999, "999 B"],
    [5, "5 B"],
    [9_994, "10 kB"],
  ])("%d bytes are %s", (bytes, want) => expect(humanBytes(bytes)).toBe(want));

  it.each([
    ["abc", 10, 'strconv.ParseInt: parsing "abc": invalid syntax'],
    ["9223372036854775808", 10, 'strconv.ParseInt: parsing "9223372036854775808": value out of range'],
    ["-5", 10, -5n],
    ["7fffffffffffffff", 16, 9223372036854775807n],
  ] as const)("parses %s in base %d", (text, base, want) => expect(parseInt64(text, base)).toBe(want));
});

it.each([
  ["put k v", ["put", "k", "v"]],
  ["put \"a b\" 'c d'  e", ["put", "a b", "c d", "e"]],
  ['put "a\\"b" x=1', ["put", 'a"b', "x=1"]],
  ["", []],
])("splits %j", (line, want) => expect(splitWords(line)).toEqual(want));
