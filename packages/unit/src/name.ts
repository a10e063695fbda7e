import type { UnitName } from "@keelson/types";
import { UnitNameError } from "./errors.ts";

/** A unit name may be this long. */
export const UNIT_NAME_LENGTH_MAX = 256;

const TYPES: ReadonlySet<string> = new Set(
  "automount busname device mount path scope service slice snapshot socket swap target timer".split(" "),
);
const TEMPLATE_TYPES: ReadonlySet<string> = new Set("path service socket target timer".split(" "));
const NAME_CHAR = /^[0-9A-Za-z:\-_.\\@]$/;

/** The parts of a unit name. Source: systemd.unit(5); fleet unit/unit.go, UnitNameInfo. */
export interface UnitNameInfo {
  /** `web@1.service`; specifier %n. */
  readonly fullName: UnitName;
  /** Without the type: `web@1`; specifier %N. */
  readonly name: string;
  /** Up to the first `@`: `web`; specifier %p. */
  readonly prefix: string;
  /** Without the dot: `service`. */
  readonly type: string;
  /** `web@.service` for an instance or the template itself. */
  readonly template?: UnitName;
  /** `1`; empty for a template; specifier %i. Absent for plain units. */
  readonly instance?: string;
}

/** Refuses names that fleet refuses, in its words. Source: fleet api/units.go, ValidateName. @throws UnitNameError */
export function validateUnitName(name: string): void {
  const refuse = (problem: string): never => {
    throw new UnitNameError(problem, { name: name.slice(0, UNIT_NAME_LENGTH_MAX) });
  };
  if (name.length === 0) refuse("unit name cannot be empty");
  if (name.length > UNIT_NAME_LENGTH_MAX) refuse(`unit name exceeds maximum length (${UNIT_NAME_LENGTH_MAX})`);
  const dot = name.lastIndexOf(".");
  if (dot === -1) refuse('unit name must contain "."');
  if (dot === name.length - 1) refuse('unit name cannot end in "."');
  const type = name.slice(dot + 1);
  if (!TYPES.has(type)) refuse(`invalid unit type: ${JSON.stringify(type)}`);
  for (const char of name.slice(0, dot)) {
    if (!NAME_CHAR.test(char)) refuse(`invalid character ${quoteChar(char)} in unit name`);
  }
  if (name.startsWith("@")) refuse('unit name cannot start in "@"');
  if (dot === 0) refuse('unit name cannot start in "."');
  if (name.includes("@") && !TEMPLATE_TYPES.has(type))
    refuse(`invalid unit type for template: ${JSON.stringify(type)}`);
}

/** Takes a name apart. @throws UnitNameError when it is not valid */
export function parseUnitName(fullName: string): UnitNameInfo {
  validateUnitName(fullName);
  const dot = fullName.lastIndexOf(".");
  const name = fullName.slice(0, dot);
  const type = fullName.slice(dot + 1);
  const at = name.indexOf("@");
  if (at === -1) return { fullName, name, prefix: name, type };
  const prefix = name.slice(0, at);
  return { fullName, name, prefix, type, template: `${prefix}@.${type}`, instance: name.slice(at + 1) };
}

/** Whether the name is a template's, such as `web@.service`: it cannot run, only its instances can. */
export function isTemplate(info: UnitNameInfo): boolean {
  return info.instance === "";
}

/** Whether the name is an instance's, such as `web@1.service`. */
export function isInstance(info: UnitNameInfo): boolean {
  return info.instance !== undefined && info.instance !== "";
}

/** As Go's %q prints a rune. */
function quoteChar(char: string): string {
  if (char === "'") return "'\\''";
  return `'${JSON.stringify(char).slice(1, -1).replaceAll('\\"', '"')}'`;
}
