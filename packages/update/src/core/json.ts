import { FormatError } from "./errors.ts";

/** A JSON value that claims to be an object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Checks of values that came from outside. Written by hand and not with a schema library, because the agent runs these
 * few on every boot of an emulated machine. `where` names the place in the error, such as `releases[2].commit`.
 */
export function asObject(value: unknown, where: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new FormatError(`${where} is not an object`, { where });
}

export function asArray(value: unknown, where: string, lengthMax: number): readonly unknown[] {
  if (!Array.isArray(value)) throw new FormatError(`${where} is not a list`, { where });
  if (value.length > lengthMax) throw new FormatError(`${where} has more than ${lengthMax} items`, { where });
  return value;
}

export function asText(value: unknown, where: string, lengthMax = 4_096): string {
  if (typeof value !== "string") throw new FormatError(`${where} is not a text`, { where });
  if (value.length > lengthMax) throw new FormatError(`${where} is longer than ${lengthMax} characters`, { where });
  return value;
}

export function asNumber(value: unknown, where: string, min: number, max: number): number {
  if (typeof value === "number" && value >= min && value <= max) return value;
  throw new FormatError(`${where} is not a number from ${min} to ${max}`, { where });
}

/** A whole number of at least 0. */
export function asCount(value: unknown, where: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new FormatError(`${where} is not a whole number of at least 0`, { where });
}

export function asBoolean(value: unknown, where: string): boolean {
  if (typeof value === "boolean") return value;
  throw new FormatError(`${where} is neither true nor false`, { where });
}

/** Undefined for what is not there; null counts as absent. */
export function optional<T>(value: unknown, where: string, as: (value: unknown, where: string) => T): T | undefined {
  return value === undefined || value === null ? undefined : as(value, where);
}

/** Parses JSON text. @throws FormatError */
export function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${where} is not JSON`, { where }, { cause });
  }
}
