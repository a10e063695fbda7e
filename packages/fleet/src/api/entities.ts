import type { UnitOption } from "@keelson/unit";
import type { DesiredState } from "../core/model.ts";
import type { StateRecord } from "../registry/records.ts";
import type { RegistryView, UnitRecord } from "../registry/view.ts";

/** A unit as the API shows it. Source: fleet schema/v1.json. */
export interface UnitEntity {
  readonly currentState?: DesiredState;
  readonly desiredState: DesiredState;
  readonly machineID?: string;
  readonly name: string;
  readonly options: readonly UnitOption[];
}

export interface UnitStateEntity {
  readonly hash: string;
  readonly machineID: string;
  readonly name: string;
  readonly systemdActiveState: string;
  readonly systemdLoadState: string;
  readonly systemdSubState: string;
}

export interface MachineEntity {
  readonly id: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly primaryIP: string;
}

/** Answer of `GET /units/<n>/why`. */
export interface WhyEntity {
  readonly name: string;
  readonly desiredState: DesiredState;
  readonly currentState?: DesiredState;
  readonly machineID?: string;
  /** The engine's last word on why the unit is scheduled nowhere. */
  readonly reason?: string;
  readonly machines: readonly { readonly id: string; readonly isHere: boolean; readonly refusal?: string }[];
}

/** How far a unit has come on its machine. Undefined for global units, which fleet never says this of. */
export function currentState(unit: UnitRecord, view: RegistryView): DesiredState | undefined {
  if (unit.requirements.global) return undefined;
  const state = unit.target === undefined ? undefined : view.states(unit.name).get(unit.target);
  // A state of the former text says nothing of this one.
  if (state === undefined || state.hash !== unit.hash) return "inactive";
  return state.isLaunched ? "launched" : "loaded";
}

export function unitEntity(unit: UnitRecord, view: RegistryView): UnitEntity {
  const current = currentState(unit, view);
  return {
    ...(current === undefined ? {} : { currentState: current }),
    desiredState: unit.desired,
    ...(unit.target === undefined ? {} : { machineID: unit.target }),
    name: unit.name,
    options: unit.options.map(({ name, section, value }) => ({ name, section, value })),
  };
}

export function stateEntity(name: string, state: StateRecord): UnitStateEntity {
  return {
    hash: state.hash,
    machineID: state.machineId,
    name,
    systemdActiveState: state.activeState,
    systemdLoadState: state.loadState,
    systemdSubState: state.subState,
  };
}

export function machineEntities(view: RegistryView): MachineEntity[] {
  return view.machines().map(({ record }) => ({
    id: record.id,
    metadata: view.metadata(record.id, record.metadata),
    primaryIP: record.publicIp,
  }));
}
