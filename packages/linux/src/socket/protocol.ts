import { CoreError, type ErrorDetails, formatErrorChain } from "@keelson/types";
import {
  RequirementsError,
  UnitManagerError,
  UnitManagerUnavailableError,
  UnitNameError,
  UnitNotLoadedError,
  type UnitStatus,
  UnitSyntaxError,
  UnitValueError,
} from "@keelson/unit";

/** One message may be this long: a whole load of units fits, a stranger's flood does not. */
export const MESSAGE_LENGTH_MAX = 16 * 1024 * 1024;

/** A client's request; `cancel` ends the request of the same id and has no answer of its own. */
export type Request =
  | { readonly id: number; readonly method: "load"; readonly units: readonly { name: string; content: string }[] }
  | { readonly id: number; readonly method: "unload"; readonly names: readonly string[] }
  | { readonly id: number; readonly method: "start" | "stop" | "content" | "status"; readonly name: string }
  | { readonly id: number; readonly method: "list" | "subscribe" | "cancel" }
  | {
      readonly id: number;
      readonly method: "journal";
      readonly name: string;
      readonly lines: number;
      readonly follow: boolean;
    };

/** What the server sends: a result or an error ends the request of that id; lines come before it; statuses at any time. */
export type Reply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: WireError }
  | { readonly id: number; readonly line: string }
  | { readonly status: UnitStatus };

/** An error as it crosses the socket. */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly details?: ErrorDetails;
}

/** Flattens an error: the chain of causes becomes one text. */
export function encodeError(error: unknown): WireError {
  const message = formatErrorChain(error);
  if (!(error instanceof CoreError)) return { code: "ERR_UNIT_MANAGER", message };
  return { code: error.code, message, details: error.details };
}

/** Makes the same class of error that the port promises; anything else is a {@link UnitManagerError}. */
export function decodeError({ code, message, details = {} }: WireError): Error {
  const text = String(message);
  switch (code) {
    case "ERR_UNIT_NOT_LOADED":
      return new UnitNotLoadedError(String(details["name"]));
    case "ERR_UNIT_NAME":
      return new UnitNameError(text, details);
    case "ERR_UNIT_VALUE":
      return new UnitValueError(text, details);
    case "ERR_UNIT_REQUIREMENTS":
      return new RequirementsError(text, details);
    case "ERR_UNIT_MANAGER_UNAVAILABLE":
      return new UnitManagerUnavailableError(text, details);
    case "ERR_UNIT_SYNTAX":
      return new UnitSyntaxError(
        text.replace(/^line \d+, column \d+: /, ""),
        Number(details["line"]),
        Number(details["column"]),
      );
    default:
      return new UnitManagerError(text, details);
  }
}

/** Checks what a client sent; undefined when it is no request. */
export function parseRequest(text: string): Request | undefined {
  const value = parseObject(text);
  if (value === undefined || typeof value["id"] !== "number") return undefined;
  const id = value["id"];
  const { name, names, units, lines, follow } = value;
  switch (value["method"]) {
    case "load":
      if (!Array.isArray(units) || !units.every(isUnitFile)) return undefined;
      return { id, method: "load", units: units.map((unit) => ({ name: unit.name, content: unit.content })) };
    case "unload":
      if (!Array.isArray(names) || !names.every((one) => typeof one === "string")) return undefined;
      return { id, method: "unload", names };
    case "start":
    case "stop":
    case "content":
    case "status":
      return typeof name === "string" ? { id, method: value["method"], name } : undefined;
    case "list":
    case "subscribe":
    case "cancel":
      return { id, method: value["method"] };
    case "journal":
      if (typeof name !== "string" || typeof lines !== "number") return undefined;
      return { id, method: "journal", name, lines, follow: follow === true };
    default:
      return undefined;
  }
}

/** Reads one JSON object; undefined for anything else. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function isUnitFile(value: unknown): value is { name: string; content: string } {
  if (typeof value !== "object" || value === null) return false;
  const { name, content } = value as Record<string, unknown>;
  return typeof name === "string" && typeof content === "string";
}
