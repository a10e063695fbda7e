import { expect, it } from "vitest";
import { alignTabs } from "./tabwriter.ts";

// What Go's text/tabwriter makes of it with (0, 8, 1, '\t', 0).
it.each([
  ["a\tb\nlonger text\tc\n", "a\t\tb\nlonger text\tc\n"],
  ["\tx\ty\n\tlonger one\tz\n", "\tx\t\ty\n\tlonger one\tz\n"],
  ["1234567\tb\n", "1234567\tb\n"],
  ["12345678\tb\n", "12345678\tb\n"],
  ["a\tb\nno cells\nlonger text\tb\n", "a\tb\nno cells\nlonger text\tb\n"],
  ["", ""],
  ["a\tb\tc\nx\ty\n", "a\tb\tc\nx\ty\n"],
  ["a\tbbbbbbbbb\tc\nx\ty\n", "a\tbbbbbbbbb\tc\nx\ty\n"],
])("%j", (text, want) => expect(alignTabs(text)).toBe(want));
