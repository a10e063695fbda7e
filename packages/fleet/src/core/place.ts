import type { UnitName } from "@keelson/types";
import type { Board, Slot } from "./board.ts";
import { byAge, type Job } from "./model.ts";

/**
 * Finds a machine for every unit that has none. Oldest units first; among machines that fit the least loaded, then the
 * first id. Units tied by MachineOf= are placed together where one machine takes them all; otherwise each takes the
 * peers it needs along, the unit that needs most first.
 */
export class Placer {
  readonly #board: Board;
  readonly #queue: Job[];
  readonly #driven = new Map<UnitName, number>();
  /** Why a unit was driven off its machine in this plan. */
  readonly driven = new Map<UnitName, string>();

  constructor(board: Board) {
    this.#board = board;
    this.#queue = [...board.relations.singles.values()].filter((job) => board.slotOf(job.name) === undefined);
  }

  /** `held`: units whose machine is absent but may be alive; they are left alone. */
  run(held: ReadonlySet<UnitName>): void {
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) {
      if (!held.has(job.name) && this.#isFree(job)) this.#placeComponent(job, held);
    }
  }

  /** Placed nowhere, and not one that keeps being driven about: such a unit waits for the next plan. */
  #isFree(job: Job): boolean {
    return this.#board.slotOf(job.name) === undefined && (this.#driven.get(job.name) ?? 0) < 2;
  }

  #placeComponent(job: Job, held: ReadonlySet<UnitName>): void {
    const component = this.#board.relations.component(job.name);
    const anchors = new Set(component.flatMap((member) => this.#board.slotOf(member.name) ?? []));
    const free = this.#withHope(component.filter((member) => !held.has(member.name) && this.#isFree(member)));
    if (free.length === 0) return;
    const slots = anchors.size === 0 ? this.#board.slots.values() : anchors.size === 1 ? anchors : [];
    if (this.#placeTogether(free, slots)) return;
    const needs = (member: Job) => this.#board.relations.closure(member.name).size;
    for (const member of free.toSorted((a, b) => needs(b) - needs(a) || byAge(a, b))) {
      if (!this.#isFree(member)) continue;
      const closure = this.#board.relations.closure(member.name);
      this.#placeTogether(
        free.filter((other) => closure.has(other.name) && this.#isFree(other)),
        this.#board.slots.values(),
      );
    }
  }

  /** Leaves out units that need a peer which is nowhere to be found: they must not hold up the others. */
  #withHope(free: readonly Job[]): readonly Job[] {
    const globals = new Set(this.#board.relations.globals.map((job) => job.name));
    const hopeful = new Map(free.map((job) => [job.name, job]));
    const isThere = (peer: UnitName) =>
      hopeful.has(peer) || this.#board.slotOf(peer) !== undefined || globals.has(peer);
    for (let again = true; again; ) {
      again = false;
      for (const job of hopeful.values()) {
        if (job.requirements.machineOf.every(isThere)) continue;
        hopeful.delete(job.name);
        again = true;
      }
    }
    return [...hopeful.values()];
  }

  #placeTogether(group: readonly Job[], slots: Iterable<Slot>): boolean {
    const companions = new Set(group.map((job) => job.name));
    let best: Slot | undefined;
    for (const slot of slots) {
      // Slots come in the order of their ids, so that only a smaller load is better.
      if (best !== undefined && slot.load >= best.load) continue;
      if (group.every((job) => this.#board.refusal(job, slot, companions) === undefined)) best = slot;
    }
    if (best === undefined) return false;
    for (const job of group) this.#board.place(job.name, best);
    for (const job of group) this.#driveOff(job.name, best);
    return true;
  }

  /** Units that `replacer` replaces leave its machine, and with them the units that need them there. */
  #driveOff(replacer: UnitName, slot: Slot): void {
    const { relations } = this.#board;
    for (const victim of [...relations.victims(replacer)].filter((name) => slot.units.has(name)).sort()) {
      if (!slot.units.has(victim)) continue;
      this.#unplace(victim, `found replace with locally-scheduled Unit(${replacer})`);
      for (let again = true; again; ) {
        again = false;
        for (const job of relations.component(victim)) {
          const lost = job.requirements.machineOf.find((peer) => !slot.has(peer));
          if (!slot.units.has(job.name) || lost === undefined) continue;
          this.#unplace(job.name, `required peer Unit(${lost}) is not scheduled locally`);
          again = true;
        }
      }
    }
  }

  #unplace(name: UnitName, reason: string): void {
    this.#board.remove(name);
    this.#driven.set(name, (this.#driven.get(name) ?? 0) + 1);
    this.driven.set(name, reason);
    const job = this.#board.relations.singles.get(name);
    if (job !== undefined) this.#queue.push(job);
  }
}
