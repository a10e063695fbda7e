import fc from "fast-check";
import { expect, it } from "vitest";
import { unitOfPath, unitPath } from "./names.ts";

it("escapes as systemd does", () => {
  expect(unitPath("web@1.service")).toBe("/org/freedesktop/systemd1/unit/web_401_2eservice");
  expect(unitPath("1.mount")).toBe("/org/freedesktop/systemd1/unit/_31_2emount");
});

it("reads back every name", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), (name) => unitOfPath(unitPath(name)) === name));
  expect(unitOfPath("/org/freedesktop/systemd1/job/1")).toBeUndefined();
});
