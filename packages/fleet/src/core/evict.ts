import type { UnitName } from "@keelson/types";
import type { Board, Slot } from "./board.ts";
import { byAge, type ClusterView, type Job } from "./model.ts";

/** Units that lose their machine, and why. */
export type Evictions = Map<UnitName, string>;

/**
 * Puts every scheduled unit that may stay on the board and says why the others may not. Only causes inside the view
 * move a unit: nothing is ever moved to balance.
 */
export function keepOrEvict(view: ClusterView, board: Board): Evictions {
  const evictions: Evictions = new Map();
  const stay = new Map<UnitName, { job: Job; slot: Slot }>();
  for (const job of view.jobs.filter((one) => one.target !== undefined).toSorted(byAge)) {
    const slot = board.slots.get(job.target ?? "");
    const cause = ownCause(job, slot, view.isSettled ?? true);
    if (cause !== undefined) evictions.set(job.name, cause);
    else if (slot !== undefined) stay.set(job.name, { job, slot });
  }
  dropWithoutPeers(stay, board, evictions);
  dropEnemies(stay, board, evictions);
  dropReplaced(board, evictions);
  board.settleGlobals();
  dropOrphans(stay, board, evictions);
  return evictions;
}

/** What a unit and its machine alone say. */
function ownCause(job: Job, slot: Slot | undefined, isSettled: boolean): string | undefined {
  if (job.desired === "inactive") return "target state inactive";
  if (job.requirements.global) return "unit is global";
  if (slot === undefined) return isSettled ? `target Machine(${job.target}) went away` : undefined;
  return undefined;
}

/** A unit whose peer is not beside it goes, and so do the units that wanted it beside them. */
function dropWithoutPeers(stay: Map<UnitName, { job: Job; slot: Slot }>, board: Board, evictions: Evictions): void {
  const globals = new Set(board.relations.globals.map((job) => job.name));
  for (let again = true; again; ) {
    again = false;
    for (const { job, slot } of stay.values()) {
      const lost = job.requirements.machineOf.find((p) => stay.get(p)?.slot !== slot && !globals.has(p));
      if (lost === undefined) continue;
      stay.delete(job.name);
      evictions.set(job.name, unable(slot, `required peer Unit(${lost}) is not scheduled locally`));
      again = true;
    }
  }
}

/** Of units that may not be together the older stays; conditions on the machine itself are looked at on the way. */
function dropEnemies(stay: ReadonlyMap<UnitName, { job: Job; slot: Slot }>, board: Board, evictions: Evictions): void {
  for (const { job, slot } of stay.values()) {
    const enemy = board.conflictOn(job.name, slot);
    const reason = board.machineRefusal(job, slot) ?? (enemy && `found conflict with locally-scheduled Unit(${enemy})`);
    if (reason === undefined) board.place(job.name, slot);
    else evictions.set(job.name, unable(slot, reason));
  }
}

function dropReplaced(board: Board, evictions: Evictions): void {
  const replaced: (readonly [UnitName, Slot, string])[] = [];
  for (const slot of board.slots.values()) {
    for (const name of slot.units) {
      const replacer = board.replacerOn(name, slot);
      if (replacer !== undefined) replaced.push([name, slot, replacer]);
    }
  }
  for (const [name, slot, replacer] of replaced) {
    board.remove(name);
    evictions.set(name, unable(slot, `found replace with locally-scheduled Unit(${replacer})`));
  }
}

/** As {@link dropWithoutPeers}, after conflicts, replacements and global units have made their changes. */
function dropOrphans(stay: ReadonlyMap<UnitName, { job: Job; slot: Slot }>, board: Board, evictions: Evictions): void {
  for (let again = true; again; ) {
    again = false;
    for (const { job, slot } of stay.values()) {
      if (board.slotOf(job.name) === undefined) continue;
      const lost = job.requirements.machineOf.find((peer) => !slot.has(peer));
      if (lost === undefined) continue;
      board.remove(job.name);
      evictions.set(job.name, unable(slot, `required peer Unit(${lost}) is not scheduled locally`));
      again = true;
    }
  }
}

function unable(slot: Slot, reason: string): string {
  return `target Machine(${slot.machine.id}) unable to run unit: ${reason}`;
}
