import type { MachineId, UnitName } from "@keelson/types";
import type { DesiredState } from "../core/model.ts";

/** `job/<n>/object`. */
export interface JobObject {
  readonly name: UnitName;
  /** Hex. */
  readonly hash: string;
}

/** `machines/<id>/object`: a machine as it announces itself. */
export interface MachineRecord {
  readonly id: MachineId;
  readonly publicIp: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly version: string;
  /** Tells this fleetd and its later runs from another one with the same machine id. */
  readonly instance: string;
  /** Where other machines reach this one's API; absent when it does not listen for them. */
  readonly apiUrl?: string;
}

/** `states/<n>/<machine>`: what the unit manager of a machine says of a unit. */
export interface StateRecord {
  readonly loadState: string;
  readonly activeState: string;
  readonly subState: string;
  readonly machineId: MachineId;
  readonly hash: string;
  /** Whether the agent has started it; replaces upstream's `job/<n>/job-state` heartbeat. */
  readonly isLaunched: boolean;
}

/** Writes the record as upstream's JSON: the hash as 20 numbers. */
export function formatJobObject({ name, hash }: JobObject): string {
  return JSON.stringify({ Name: name, UnitHash: [...Buffer.from(hash, "hex")] });
}

/** Undefined when the text is not such a record. So for all parsers here: foreign keys must not stop a cluster. */
export function parseJobObject(text: string): JobObject | undefined {
  const json = parseObject(text);
  const name = json?.["Name"];
  const bytes = json?.["UnitHash"];
  if (typeof name !== "string" || !Array.isArray(bytes) || bytes.length !== 20) return undefined;
  if (!bytes.every((byte) => Number.isInteger(byte) && byte >= 0 && byte < 256)) return undefined;
  return { name, hash: Buffer.from(bytes).toString("hex") };
}

/** The unit's text in upstream's envelope. */
export function formatUnitBlob(raw: string): string {
  return JSON.stringify({ Raw: raw });
}

export function parseUnitBlob(text: string): string | undefined {
  const raw = parseObject(text)?.["Raw"];
  return typeof raw === "string" ? raw : undefined;
}

export function formatMachine(machine: MachineRecord): string {
  return JSON.stringify({
    ID: machine.id,
    PublicIP: machine.publicIp,
    Metadata: machine.metadata,
    Version: machine.version,
    Instance: machine.instance,
    ...(machine.apiUrl === undefined ? {} : { ApiUrl: machine.apiUrl }),
  });
}

export function parseMachine(text: string): MachineRecord | undefined {
  const json = parseObject(text);
  if (json === undefined || typeof json["ID"] !== "string") return undefined;
  const metadata = isObject(json["Metadata"]) ? json["Metadata"] : {};
  const apiUrl = json["ApiUrl"];
  return {
    id: json["ID"],
    publicIp: textOf(json["PublicIP"]),
    metadata: Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, textOf(value)])),
    version: textOf(json["Version"]),
    instance: textOf(json["Instance"]),
    ...(typeof apiUrl === "string" ? { apiUrl } : {}),
  };
}

export function formatState(state: StateRecord): string {
  return JSON.stringify({
    loadState: state.loadState,
    activeState: state.activeState,
    subState: state.subState,
    machineState: { ID: state.machineId },
    unitHash: state.hash,
    launched: state.isLaunched,
  });
}

export function parseState(text: string): StateRecord | undefined {
  const json = parseObject(text);
  const machine = json?.["machineState"];
  if (json === undefined || !isObject(machine) || typeof machine["ID"] !== "string") return undefined;
  return {
    loadState: textOf(json["loadState"]),
    activeState: textOf(json["activeState"]),
    subState: textOf(json["subState"]),
    machineId: machine["ID"],
    hash: textOf(json["unitHash"]),
    isLaunched: json["launched"] === true,
  };
}

export function parseDesired(text: string): DesiredState | undefined {
  return text === "inactive" || text === "loaded" || text === "launched" ? text : undefined;
}

/** Whether a JSON value is an object and not a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
