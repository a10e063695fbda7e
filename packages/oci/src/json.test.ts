import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ImageDocumentError, parseJson } from "./index.ts";
import { returnsOrThrows } from "./testing/thrown-by.ts";

describe("parseJson", () => {
  it("reads what JSON.stringify writes", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, "\t"), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        expect(JSON.stringify(parseJson(text, "x"))).toBe(JSON.stringify(JSON.parse(text)));
      }),
    );
  });

  it("accepts nothing that JSON.parse refuses", () => {
    const nearly = fc.array(
      fc.constantFrom("{", "}", "[", "]", '"a"', '"', ":", ",", "1", "-", "0.5e3", "true", "nul", " ", "\\u12"),
      {
        maxLength: 12,
      },
    );
    fc.assert(
      fc.property(nearly, (tokens) => {
        const text = tokens.join("");
        const agree = () => JSON.stringify(parseJson(text, "x")) === JSON.stringify(JSON.parse(text));
        expect(returnsOrThrows(() => expect(agree()).toBe(true), ImageDocumentError)).toBe(true);
      }),
      { numRuns: 5_000 },
    );
  });

  it.each([
    ['{"a":1,"b":2,"a":3}', /the key "a" is there twice/],
    ['{"a":1,"\\u0061":3}', /twice/],
    ["[".repeat(100) + "]".repeat(100), /deeper/],
    [`[${"1,".repeat(200_001)}1]`, /values/],
    ['{"a":1} x', /follows/],
    ["", /not JSON/],
  ])("refuses %.30s", (text, why) => expect(() => parseJson(text, "x")).toThrow(why));

  it("has no prototype to be changed", () => {
    const value = parseJson('{"__proto__":{"x":1},"constructor":2}', "x") as Record<string, unknown>;
    expect(Object.getPrototypeOf(value)).toBe(null);
    expect(({} as Record<string, unknown>)["x"]).toBe(undefined);
    expect(Object.keys(value)).toEqual(["__proto__", "constructor"]);
  });
});
