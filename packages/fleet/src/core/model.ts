import type { MachineId, UnitName } from "@keelson/types";
import type { Requirements } from "@keelson/unit";

/** What the operator asked for. Source: fleet Documentation/states.md. */
export type DesiredState = "inactive" | "loaded" | "launched";

/** A unit of the cluster as the scheduler sees it. */
export interface Job {
  readonly name: UnitName;
  /** Age: the store's revision at which the unit was created. Where two units cannot both have their way the older one does. */
  readonly order: number;
  readonly desired: DesiredState;
  readonly requirements: Requirements;
  /** The machine that the unit is scheduled on. Never set on global units. */
  readonly target?: MachineId;
}

/** A machine that is alive: its key is in the store. */
export interface Machine {
  readonly id: MachineId;
  readonly metadata: Readonly<Record<string, string>>;
}

/** One consistent picture of the whole cluster: the scheduler's only input. */
export interface ClusterView {
  readonly jobs: readonly Job[];
  readonly machines: readonly Machine[];
  /**
   * False while an absent machine may be alive, because the store itself was unreachable a moment ago. Units then stay
   * on absent machines. Default true.
   */
  readonly isSettled?: boolean;
}

/** One change of one unit's target. `from` absent: it was not scheduled; `to` absent: it is to be scheduled nowhere. */
export interface Decision {
  readonly unit: UnitName;
  readonly from?: MachineId;
  readonly to?: MachineId;
  readonly reason: string;
}

/** What the scheduler wants done. */
export interface Plan {
  /** At most one for each unit, sorted by unit. */
  readonly decisions: readonly Decision[];
  /** Why units that should run are scheduled nowhere. */
  readonly waiting: ReadonlyMap<UnitName, string>;
}

/** Whether `a` goes before `b`: the older first, then by name. */
export function byAge(a: Job, b: Job): number {
  return a.order - b.order || compareText(a.name, b.name);
}

/** Code-unit order, the same everywhere, unlike a locale's. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
