import { expect, it } from "vitest";
import { formatTable } from "./table.ts";

it("pads with tabs to multiples of eight, at least one apart, and ends lines without any", () => {
  expect(
    formatTable([
      ["UNIT", "MACHINE", "ACTIVE"],
      ["a.service", "-", "active"],
      ["1234567", "x", "y"],
    ]),
  ).toBe("UNIT\t\tMACHINE\tACTIVE\na.service\t-\tactive\n1234567\t\tx\ty\n");
  expect(formatTable([["12345678", "b"]])).toBe("12345678\tb\n");
  expect(formatTable([])).toBe("");
});
