import { assert, type MachineId, type UnitName } from "@keelson/types";
import { metadataMatches } from "@keelson/unit";
import { compareText, type Job, type Machine } from "./model.ts";
import type { Relations } from "./relations.ts";

/** One machine and what is on it. */
export class Slot {
  readonly machine: Machine;
  /** Ordinary units placed here. */
  readonly units = new Set<UnitName>();
  /** Global units that run here. */
  readonly globals = new Set<UnitName>();
  /** Conflict pattern -> how many units here declare it. */
  readonly declares = new Map<string, number>();
  /** Conflict pattern -> how many units here it matches. */
  readonly hits = new Map<string, number>();

  constructor(machine: Machine) {
    this.machine = machine;
  }

  /** How many units are here. */
  get load(): number {
    return this.units.size + this.globals.size;
  }

  has(name: UnitName): boolean {
    return this.units.has(name) || this.globals.has(name);
  }
}

/** Where every unit is while a plan is being made. */
export class Board {
  /** By machine id, in the order of the ids. */
  readonly slots: ReadonlyMap<MachineId, Slot>;
  readonly relations: Relations;
  readonly #placed = new Map<UnitName, Slot>();

  constructor(relations: Relations, machines: readonly Machine[]) {
    this.relations = relations;
    const sorted = machines.toSorted((a, b) => compareText(a.id, b.id));
    this.slots = new Map(sorted.map((machine) => [machine.id, new Slot(machine)]));
  }

  slotOf(name: UnitName): Slot | undefined {
    return this.#placed.get(name);
  }

  place(name: UnitName, slot: Slot): void {
    assert(!this.#placed.has(name), "a unit is on one machine", { name });
    this.#placed.set(name, slot);
    slot.units.add(name);
    this.#count(name, slot, 1);
  }

  remove(name: UnitName): void {
    const slot = this.#placed.get(name);
    assert(slot !== undefined, "only a placed unit is removed", { name });
    this.#placed.delete(name);
    slot.units.delete(name);
    this.#count(name, slot, -1);
  }

  /** Lets global units settle on every machine, oldest first: they yield to ordinary units that are already there. */
  settleGlobals(): void {
    for (const slot of this.slots.values()) {
      for (const job of this.relations.globals) {
        if (this.refusal(job, slot) !== undefined) continue;
        slot.globals.add(job.name);
        this.#count(job.name, slot, 1);
      }
    }
  }

  /**
   * Why `job` cannot be on the machine, in fleet's words and order (agent/state.go AbleToRun); undefined when it can.
   * `companions` are units that would be placed there with it in the same step.
   */
  refusal(job: Job, slot: Slot, companions: ReadonlySet<UnitName> = NOBODY): string | undefined {
    const own = this.machineRefusal(job, slot);
    if (own !== undefined) return own;
    for (const peer of job.requirements.machineOf) {
      if (!slot.has(peer) && !companions.has(peer)) return `required peer Unit(${peer}) is not scheduled locally`;
    }
    const enemy = this.#enemyOf(job.name, slot, companions);
    if (enemy !== undefined) return `found conflict with locally-scheduled Unit(${enemy})`;
    return this.#replaceOn(job.name, slot, companions);
  }

  /** Why the machine itself does not do, whatever is on it. */
  machineRefusal(job: Job, { machine }: Slot): string | undefined {
    const { machineId, machineMetadata } = job.requirements;
    if (machineId !== undefined && machineId !== machine.id && machineId !== machine.id.slice(0, 8)) {
      return `agent ID ${JSON.stringify(machine.id)} does not match required ${JSON.stringify(machineId)}`;
    }
    if (machineMetadata.size > 0 && !metadataMatches(machineMetadata, machine.metadata)) {
      return "local Machine metadata insufficient";
    }
    return undefined;
  }

  /** The first unit on the machine that drives `name` off. */
  replacerOn(name: UnitName, slot: Slot, companions: ReadonlySet<UnitName> = NOBODY): UnitName | undefined {
    return least([...this.relations.replacers(name)].filter((r) => slot.units.has(r) || companions.has(r)));
  }

  /** The first unit on the machine that conflicts with `name`, which is not there. */
  conflictOn(name: UnitName, slot: Slot): UnitName | undefined {
    return this.#enemyOf(name, slot, NOBODY);
  }

  #enemyOf(name: UnitName, slot: Slot, companions: ReadonlySet<UnitName>): UnitName | undefined {
    const { relations } = this;
    const onSlot =
      relations.declared(name).some((pattern) => (slot.hits.get(pattern) ?? 0) > 0) ||
      relations.hitting(name).some((pattern) => (slot.declares.get(pattern) ?? 0) > 0);
    if (!onSlot && companions.size < 2) return undefined;
    const near = onSlot ? [...slot.units, ...slot.globals, ...companions] : [...companions];
    return least(near.filter((other) => relations.conflict(name, other)));
  }

  #replaceOn(name: UnitName, slot: Slot, companions: ReadonlySet<UnitName>): string | undefined {
    const replacer = this.replacerOn(name, slot, companions);
    if (replacer !== undefined) return `found replace with locally-scheduled Unit(${replacer})`;
    const victims = this.relations.victims(name);
    if (victims.size === 0) return undefined;
    // Driving off a unit that one of the newcomers needs beside it would drive off the newcomer as well.
    const needed = new Set([name, ...companions].flatMap((member) => [...this.relations.closure(member)]));
    const own = least([...victims].filter((victim) => slot.units.has(victim) && needed.has(victim)));
    return own === undefined ? undefined : `unresolvable requirements: Unit(${name}) replaces its peer Unit(${own})`;
  }

  #count(name: UnitName, slot: Slot, by: 1 | -1): void {
    for (const pattern of this.relations.declared(name)) bump(slot.declares, pattern, by);
    for (const pattern of this.relations.hitting(name)) bump(slot.hits, pattern, by);
  }
}

const NOBODY: ReadonlySet<UnitName> = new Set();

function bump(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}

/** The first name in order, so that a refusal names the same unit every time. */
function least(names: readonly UnitName[]): UnitName | undefined {
  return names.length === 0 ? undefined : names.reduce((a, b) => (compareText(b, a) < 0 ? b : a));
}
