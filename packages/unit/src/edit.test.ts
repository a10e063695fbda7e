import fc from "fast-check";
import { expect, it } from "vitest";
import { formatUnit, parseUnit, valuesOf } from "./document.ts";
import { addOption, removeOption, setOption } from "./edit.ts";
import { UnitValueError } from "./errors.ts";
import { attempt } from "./testing.ts";

const FILE = "# head\n[Unit]\nA = 1 # x\n\nA=2\n; mid\n[Service]\nB=\\\n c\n\n";

it.each([
  [
    "replaces the first and drops the rest",
    () => setOption(parseUnit(FILE), "Unit", "A", "9"),
    "# head\n[Unit]\nA=9\n\n; mid\n[Service]\nB=\\\n c\n\n",
  ],
  [
    "appends to the section",
    () => setOption(parseUnit(FILE), "Unit", "C", "9"),
    "# head\n[Unit]\nA = 1 # x\n\nA=2\nC=9\n; mid\n[Service]\nB=\\\n c\n\n",
  ],
  ["appends a section", () => addOption(parseUnit(FILE), "X-Fleet", "C", "9"), `${FILE}[X-Fleet]\nC=9\n`],
  ["starts a file", () => addOption(parseUnit(""), "Unit", "C", "9"), "[Unit]\nC=9\n"],
  ["ends an open last line", () => addOption(parseUnit("[Unit]\nA=1"), "S", "C", "9"), "[Unit]\nA=1\n\n[S]\nC=9\n"],
  [
    "keeps CRLF",
    () => addOption(parseUnit("[Unit]\r\nA=1\r\n"), "Unit", "C", "9 \\\n x"),
    "[Unit]\r\nA=1\r\nC=9 \\\r\n x\r\n",
  ],
  ["removes all", () => removeOption(parseUnit(FILE), "Unit", "A"), "# head\n[Unit]\n\n; mid\n[Service]\nB=\\\n c\n\n"],
])("%s", (_title, edit, want) => {
  expect(formatUnit(edit())).toBe(want);
  expect(edit()).toEqual(parseUnit(want)); // line numbers too
});

it.each(["1\nB=2", " 1", "1\n[Evil]", "\0", "a \\"])("refuses the value %j, which would not read back", (value) => {
  expect(() => setOption(parseUnit(FILE), "Unit", "A", value)).toThrow(UnitValueError);
});

it("reads back what it set and leaves other settings alone", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme" }),
      fc.constantFrom("A", "B", "Z"),
      fc.constantFrom("Unit", "Service", "New"),
      (value, name, section) => {
        const before = parseUnit(FILE);
        const edited = attempt(() => setOption(before, section, name, value));
        if ("refusal" in edited) return;
        const after = edited.value;
        const want = value === "" ? [] : [value];
        expect(value.includes("\\") ? want : valuesOf(after, section, name)).toEqual(want);
        const others = (d: typeof before) =>
          d.nodes.flatMap((n) => (n.type === "option" && !(n.name === name && n.section === section) ? [n.raw] : []));
        expect(others(after)).toEqual(others(before));
        expect(parseUnit(formatUnit(after))).toEqual(after);
      },
    ),
  );
});
