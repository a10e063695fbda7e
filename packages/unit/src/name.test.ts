import fc from "fast-check";
import { expect, it } from "vitest";
import { UnitNameError } from "./errors.ts";
import { isInstance, isTemplate, parseUnitName, validateUnitName } from "./name.ts";
import { attempt } from "./testing.ts";

it.each([
  ["", "unit name cannot be empty"],
  [`${"a".repeat(250)}.service`, "unit name exceeds maximum length (256)"],
  ["web", 'unit name must contain "."'],
  ["web.", 'unit name cannot end in "."'],
  ["web.exe", 'invalid unit type: "exe"'],
  ["we b.service", "invalid character ' ' in unit name"],
  ["we/b.service", "invalid character '/' in unit name"],
  ["wéb.service", "invalid character 'é' in unit name"],
  ["@1.service", 'unit name cannot start in "@"'],
  [".service", 'unit name cannot start in "."'],
  ["a@1.mount", 'invalid unit type for template: "mount"'],
])("refuses %j", (name, message) => expect(() => validateUnitName(name)).toThrow(message));

it("takes names apart", () => {
  expect(parseUnitName("web.front@a-1.service")).toEqual({
    fullName: "web.front@a-1.service",
    name: "web.front@a-1",
    prefix: "web.front",
    type: "service",
    template: "web.front@.service",
    instance: "a-1",
  });
  expect(isInstance(parseUnitName("a@1.timer"))).toBe(true);
  expect(isTemplate(parseUnitName("a@.timer"))).toBe(true);
  expect(isTemplate(parseUnitName("a.timer"))).toBe(false);
});

it("accepts or refuses any text, and an accepted name is its parts put together", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z@.\\-]{0,12}\.(service|timer|socket)$/)), (name) => {
      const result = attempt(() => parseUnitName(name));
      if ("refusal" in result) return result.refusal instanceof UnitNameError;
      const info = result.value;
      return `${info.prefix}${info.instance === undefined ? "" : `@${info.instance}`}.${info.type}` === name;
    }),
  );
});
