import { basename } from "node:path";
import type { UnitEntity } from "@keelson/fleet/client";
import { parseRequirements, parseUnitName, type UnitOption } from "@keelson/unit";

const TYPES = /\.(service|socket|timer|path|device|mount|automount)$/;

/** A unit's name from what the user typed: the last part of a path, `.service` unless a type is given. */
export function unitName(arg: string): string {
  return basename(withType(arg));
}

/** The path, with `.service` appended unless a type is given. */
export function withType(arg: string): string {
  return TYPES.test(arg) ? arg : `${arg}.service`;
}

/** Whether a unit is global by its own text. */
export function isGlobal(unit: { readonly name: string; readonly options: readonly UnitOption[] }): boolean {
  return parseRequirements(unit.options, parseUnitName(unit.name)).requirements.global;
}

/** `[Unit] Description=`. */
export function descriptionOf(unit: UnitEntity): string {
  return unit.options.findLast(({ section, name }) => section === "Unit" && name === "Description")?.value ?? "";
}
