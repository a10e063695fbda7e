import type { UnitName } from "@keelson/types";
import { compareText } from "./model.ts";

/** A unit that the registry wants on this machine. */
export interface WantedUnit {
  readonly name: UnitName;
  /** fleet's hash of its settings. */
  readonly hash: string;
  readonly state: "loaded" | "launched";
}

/** A unit that this machine's unit manager holds. */
export interface FoundUnit {
  readonly name: UnitName;
  readonly hash: string;
  /** Whether it was started and not stopped since; a unit that failed or finished by itself still counts as launched. */
  readonly isLaunched: boolean;
}

/** One call to the unit manager. */
export type UnitStep = "stop" | "unload" | "load" | "start";

/** What is to be done with one unit, in order. Tasks of different units are independent. */
export interface UnitTask {
  readonly unit: UnitName;
  readonly steps: readonly UnitStep[];
  readonly reason: string;
}

/**
 * Compares what should be on this machine with what is. A unit that is there with the same hash is left alone, whoever
 * started it: a restart of fleetd restarts no unit. Sorted by unit. Source: fleet agent/reconcile.go.
 */
export function planUnits(wanted: readonly WantedUnit[], found: readonly FoundUnit[]): UnitTask[] {
  const wants = new Map(wanted.map((unit) => [unit.name, unit]));
  const finds = new Map(found.map((unit) => [unit.name, unit]));
  const tasks: UnitTask[] = [];
  for (const unit of [...new Set([...wants.keys(), ...finds.keys()])].sort(compareText)) {
    const task = planUnit(wants.get(unit), finds.get(unit));
    if (task !== undefined) tasks.push({ unit, ...task });
  }
  return tasks;
}

/** {@link planUnits} for one unit. Undefined: nothing to do. */
export function planUnit(
  want: WantedUnit | undefined,
  found: FoundUnit | undefined,
): Omit<UnitTask, "unit"> | undefined {
  if (want === undefined) {
    if (found === undefined) return undefined;
    return { steps: ["stop", "unload"], reason: "unit loaded but not scheduled here" };
  }
  const start: UnitStep[] = want.state === "launched" ? ["start"] : [];
  if (found === undefined) return { steps: ["load", ...start], reason: "unit scheduled here but not loaded" };
  if (found.hash !== want.hash) {
    // The old ExecStop= belongs to the old processes: stop with the old file, then read the new one.
    return { steps: ["stop", "load", ...start], reason: "unit file has changed" };
  }
  if (found.isLaunched === (want.state === "launched")) return undefined;
  const steps: UnitStep[] = found.isLaunched ? ["stop"] : ["start"];
  const now = found.isLaunched ? "launched" : "loaded";
  return { steps, reason: `unit currently ${now} but desired state is ${want.state}` };
}
