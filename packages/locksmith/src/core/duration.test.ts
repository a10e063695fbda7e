import fc from "fast-check";
import { expect, it } from "vitest";
import { formatGoDuration, parseGoDuration } from "./duration.ts";

it.each([
  ["1h", 3_600_000],
  ["1h30m", 5_400_000],
  ["1.5h", 5_400_000],
  [".5s", 500],
  ["-2m", -120_000],
  ["+2m", 120_000],
  ["0", 0],
  ["1us", 0.001],
  ["1\u00b5s", 0.001],
  ["3ms2ns", 3.000002],
])("%s is %d ms", (text, ms) => expect(parseGoDuration(text)).toBe(ms));

it.each(["", "1", "h", "1d", "1 h", "1h ", "1hh", "--1h", ".", ".s", "1e3s", "9".repeat(60) + "h"])(
  "%j is none",
  (text) => expect(parseGoDuration(text)).toBeUndefined(),
);

it("what is formatted is parsed", () => {
  fc.assert(fc.property(fc.nat(10_000_000), (s) => parseGoDuration(formatGoDuration(s * 1_000)) === s * 1_000));
  expect(formatGoDuration(5_400_000)).toBe("1h30m0s");
  expect(formatGoDuration(61_000)).toBe("1m1s");
});
