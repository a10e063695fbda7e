import { CoreError } from "@keelson/types";
import { UnitManagerError, UnitNotLoadedError, UnitSyntaxError } from "@keelson/unit";
import fc from "fast-check";
import { expect, it } from "vitest";
import { decodeError, encodeError, parseRequest } from "./protocol.ts";

it("takes any text as a request or as none", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      parseRequest(text);
    }),
  );
  const field = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.anything()), fc.constant(null));
  const shape = fc.record({
    id: field,
    method: fc.constantFrom("load", "unload", "start", "journal", "list", "x"),
    name: field,
    names: field,
    units: field,
    lines: field,
  });
  fc.assert(fc.property(shape, (value) => void parseRequest(JSON.stringify(value))));
});

it.each([
  [{ id: 1, method: "list" }],
  [{ id: 2, method: "start", name: "a.service" }],
  [{ id: 3, method: "unload", names: ["a.service"] }],
  [{ id: 4, method: "load", units: [{ name: "a.service", content: "" }] }],
  [{ id: 5, method: "journal", name: "a.service", lines: 3, follow: true }],
])("reads %j", (request) => expect(parseRequest(JSON.stringify(request))).toEqual(request));

it("carries the port's errors over, and anything else as a manager's error", () => {
  const over = (error: unknown) => decodeError(encodeError(error));
  expect(over(new UnitSyntaxError("bad", 3, 4))).toEqual(new UnitSyntaxError("bad", 3, 4));
  expect(over(new UnitNotLoadedError("a.service"))).toEqual(new UnitNotLoadedError("a.service"));
  expect(over(new UnitManagerError("outer", {}, { cause: new Error("inner") })).message).toBe("outer: inner");
  const foreign = over(new TypeError("oops"));
  expect(foreign).toBeInstanceOf(UnitManagerError);
  expect(foreign).toBeInstanceOf(CoreError);
});
