import { expect, it } from "vitest";
import { table } from "./table.ts";

it("aligns columns and leaves no blanks at the end of a line", () => {
  expect(
    table([
      ["MACHINE", "STATE"],
      ["m1", "running"],
    ]),
  ).toBe("MACHINE  STATE\nm1       running\n");
});
