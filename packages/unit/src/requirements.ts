import { unfoldValue } from "./document.ts";
import { RequirementsError } from "./errors.ts";
import { globMatches, matchGlob } from "./glob.ts";
import type { UnitNameInfo } from "./name.ts";
import type { UnitOption } from "./options.ts";
import { splitBlanks } from "./text.ts";

/** The section that fleet reads. */
export const FLEET_SECTION = "X-Fleet";

/** What a unit asks of the machine it runs on. Source: fleet job/job.go; Documentation/unit-files-and-scheduling.md. */
export interface Requirements {
  /** A machine's id, full or its first 8 digits. */
  readonly machineId?: string;
  /** Units that must be scheduled on the same machine: all of them. */
  readonly machineOf: readonly string[];
  /** Key -> accepted values. All keys must hold, any value of a key does. Keys and values sorted by first mention. */
  readonly machineMetadata: ReadonlyMap<string, readonly string[]>;
  /** Globs of unit names that cannot be on the same machine. */
  readonly conflicts: readonly string[];
  /** Globs of unit names that leave the machine when this unit is scheduled there. */
  readonly replaces: readonly string[];
  /** Runs on every machine that fits. */
  readonly global: boolean;
}

/** A typed reading of [X-Fleet], and what in it has no effect. */
export interface ParsedRequirements {
  readonly requirements: Requirements;
  /** One sentence for each entry that upstream ignores in silence. */
  readonly warnings: readonly string[];
}

const KNOWN = new Set([
  "MachineID",
  "MachineOf",
  "MachineMetadata",
  "Conflicts",
  "Replaces",
  "Global",
  "X-ConditionMachineID",
  "X-ConditionMachineBootID",
  "X-ConditionMachineOf",
  "X-ConditionMachineMetadata",
  "X-Conflicts",
]);

/**
 * Reads the [X-Fleet] settings of a unit. Given the unit's name, the specifiers %n %N %p %i are replaced.
 * Refuses nothing: see {@link checkRequirements}.
 */
export function parseRequirements(options: readonly UnitOption[], unit?: UnitNameInfo): ParsedRequirements {
  const values = new Map<string, string[]>();
  const warnings: string[] = [];
  for (const option of options) {
    if (option.section !== FLEET_SECTION) continue;
    if (!KNOWN.has(option.name)) warnings.push(unknownKey(option.name));
    const list = values.get(option.name) ?? [];
    for (const value of splitQuoted(unfoldValue(option.value))) list.push(expandFleetSpecifiers(value, unit));
    values.set(option.name, list);
  }
  const all = (...names: string[]) => names.flatMap((name) => values.get(name) ?? []);
  const words = (...names: string[]) => all(...names).flatMap((value) => splitBlanks(value));
  const machineId = all("MachineID", "X-ConditionMachineID", "X-ConditionMachineBootID")[0];
  const conflicts = words("X-Conflicts", "Conflicts");
  const replaces = words("Replaces");
  for (const glob of [...conflicts, ...replaces]) {
    if (matchGlob(glob, "") === "bad-pattern")
      warnings.push(`the pattern ${JSON.stringify(glob)} is malformed and matches nothing`);
  }
  return {
    requirements: {
      ...(machineId !== undefined && machineId !== "" ? { machineId } : {}),
      machineOf: words("X-ConditionMachineOf", "MachineOf"),
      machineMetadata: parseMetadata(all("X-ConditionMachineMetadata", "MachineMetadata"), warnings),
      conflicts,
      replaces,
      global: isTruthy(values.get("Global")?.at(-1)),
    },
    warnings,
  };
}

/** Refuses requirements that exclude each other, in upstream's words and order. @throws RequirementsError */
export function checkRequirements(requirements: Requirements): void {
  const { machineId, machineOf, conflicts, replaces, global } = requirements;
  for (const peer of machineOf) {
    for (const conflict of conflicts) {
      if (globMatches(conflict, peer)) throw unresolvable(peer, "conflict", conflict);
    }
    for (const replace of replaces) {
      if (globMatches(replace, peer)) throw unresolvable(peer, "replace", replace);
    }
  }
  const present: readonly (readonly [string, boolean, string, boolean])[] = [
    ["MachineID", machineId !== undefined, "Peers", machineOf.length > 0],
    ["MachineID", machineId !== undefined, "Conflicts", conflicts.length > 0],
    ["MachineID", machineId !== undefined, "Global", global],
    ["MachineID", machineId !== undefined, "Replaces", replaces.length > 0],
    ["Global", global, "Peers", machineOf.length > 0],
    ["Global", global, "Replaces", replaces.length > 0],
    ["Conflicts", conflicts.length > 0, "Replaces", replaces.length > 0],
  ];
  for (const [one, hasOne, other, hasOther] of present) {
    if (hasOne && hasOther) throw new RequirementsError(`${one} cannot be used with ${other}`, { one, other });
  }
}

/** Whether a machine's metadata satisfies the requirement. */
export function metadataMatches(
  required: Requirements["machineMetadata"],
  metadata: Readonly<Record<string, string>>,
): boolean {
  for (const [key, accepted] of required) {
    if (!Object.hasOwn(metadata, key) || !accepted.includes(metadata[key] ?? "")) return false;
  }
  return true;
}

/** Replaces %n %N %p %i, one after the other as upstream does, in a value of [X-Fleet]. */
export function expandFleetSpecifiers(value: string, unit: UnitNameInfo | undefined): string {
  if (unit === undefined || !value.includes("%")) return value;
  return value
    .replaceAll("%n", () => unit.fullName)
    .replaceAll("%N", () => unit.name)
    .replaceAll("%p", () => unit.prefix)
    .replaceAll("%i", () => unit.instance ?? "");
}

/** `"a=b" "c=d"` holds two values; anything not quoted as a whole is one. Source: fleet unit/unit.go. */
function splitQuoted(line: string): string[] {
  if (line.length < 2 || !line.startsWith('"') || !line.endsWith('"')) return [line];
  const values: string[] = [];
  let current = "";
  let quoted = false;
  for (const char of line) {
    if (char === '"') quoted = !quoted;
    else if (!quoted && (char === " " || char === "\t")) {
      if (current !== "") values.push(current);
      current = "";
    } else current += char;
  }
  values.push(current);
  return values;
}

function parseMetadata(entries: readonly string[], warnings: string[]): Map<string, readonly string[]> {
  const metadata = new Map<string, string[]>();
  for (const entry of entries) {
    const [key = "", value = "", ...more] = entry.split("=");
    if (key === "" || value === "" || more.length > 0) {
      warnings.push(`MachineMetadata=${entry} has no effect: expected key=value with exactly one "="`);
      continue;
    }
    const accepted = metadata.get(key) ?? [];
    if (!accepted.includes(value)) accepted.push(value);
    metadata.set(key, accepted);
  }
  return metadata;
}

function isTruthy(value: string | undefined): boolean {
  return value !== undefined && ["true", "yes", "1", "on", "t"].includes(value.toLowerCase());
}

function unresolvable(peer: string, kind: "conflict" | "replace", glob: string): RequirementsError {
  return new RequirementsError(
    `unresolvable requirements: peer ${JSON.stringify(peer)} matches ${kind} ${JSON.stringify(glob)}`,
    { peer, [kind]: glob },
  );
}

function unknownKey(name: string): string {
  const wanted = name.replace(/^X-(Condition)?/, "").toLowerCase();
  const close = [...KNOWN].find(
    (known) => known.toLowerCase() === wanted || isOneEditApart(known.toLowerCase(), wanted),
  );
  const hint = close === undefined ? "" : `; did you mean ${close}?`;
  return `unrecognized requirement in [X-Fleet] section: ${JSON.stringify(name)}${hint}`;
}

function isOneEditApart(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false;
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return a.slice(i + 1) === b.slice(i + 1) || a.slice(i) === b.slice(i + 1) || a.slice(i + 1) === b.slice(i);
}
