import type { UnitName } from "@keelson/types";
import { GlobIndex } from "./glob-index.ts";
import { byAge, type Job } from "./model.ts";
import { replaceRelation } from "./replaces.ts";

const NONE: ReadonlySet<UnitName> = new Set();

/** Who may not, must or wants to be with whom: everything about a set of jobs that does not depend on where they are. */
export class Relations {
  /** Units that should be on one machine, by name. */
  readonly singles: ReadonlyMap<UnitName, Job>;
  /** Units that should be on every machine that fits, oldest first. */
  readonly globals: readonly Job[];
  readonly #globs: GlobIndex;
  readonly #declaredBy = new Map<UnitName, readonly string[]>();
  readonly #hitBy = new Map<UnitName, string[]>();
  readonly #victims: ReadonlyMap<UnitName, ReadonlySet<UnitName>>;
  readonly #replacers: ReadonlyMap<UnitName, ReadonlySet<UnitName>>;
  readonly #components = new Map<UnitName, readonly Job[]>();
  readonly #closures = new Map<UnitName, ReadonlySet<UnitName>>();

  constructor(jobs: readonly Job[]) {
    const active = jobs.filter((job) => job.desired !== "inactive").toSorted(byAge);
    this.singles = new Map(active.filter((job) => !job.requirements.global).map((job) => [job.name, job]));
    this.globals = active.filter((job) => job.requirements.global);
    this.#globs = new GlobIndex(active.map((job) => job.name));
    const patterns = new Set<string>();
    for (const job of active) {
      const own = [...new Set(job.requirements.conflicts)];
      this.#declaredBy.set(job.name, own);
      for (const pattern of own) patterns.add(pattern);
    }
    for (const pattern of patterns) {
      for (const name of this.#globs.matches(pattern)) {
        const hits = this.#hitBy.get(name);
        if (hits === undefined) this.#hitBy.set(name, [pattern]);
        else hits.push(pattern);
      }
    }
    const { victims, replacers } = replaceRelation(this.singles, this.#globs);
    this.#victims = victims;
    this.#replacers = replacers;
    this.#joinPeers();
  }

  /** Conflict patterns that `name` declares. */
  declared(name: UnitName): readonly string[] {
    return this.#declaredBy.get(name) ?? [];
  }

  /** Conflict patterns, of whatever unit, that match `name`. */
  hitting(name: UnitName): readonly string[] {
    return this.#hitBy.get(name) ?? [];
  }

  /** Whether either unit declares a conflict with the other. A unit never conflicts with itself. */
  conflict(a: UnitName, b: UnitName): boolean {
    if (a === b) return false;
    const hits = (one: UnitName, other: UnitName) =>
      this.declared(one).some((pattern) => this.#globs.matches(pattern).has(other));
    return hits(a, b) || hits(b, a);
  }

  /** Units that leave the machine where `name` is scheduled. */
  victims(name: UnitName): ReadonlySet<UnitName> {
    return this.#victims.get(name) ?? NONE;
  }

  /** Units that drive `name` off their machine. */
  replacers(name: UnitName): ReadonlySet<UnitName> {
    return this.#replacers.get(name) ?? NONE;
  }

  /** All units tied to `name` by MachineOf=, directly or not and in either direction, with itself; oldest first. */
  component(name: UnitName): readonly Job[] {
    return this.#components.get(name) ?? [];
  }

  /** The units that `name` needs beside it, directly or not, with itself; also those that do not exist. */
  closure(name: UnitName): ReadonlySet<UnitName> {
    const known = this.#closures.get(name);
    if (known !== undefined) return known;
    const closure = new Set([name]);
    for (const member of closure) {
      for (const peer of this.singles.get(member)?.requirements.machineOf ?? []) closure.add(peer);
    }
    this.#closures.set(name, closure);
    return closure;
  }

  #joinPeers(): void {
    const neighbours = new Map<UnitName, UnitName[]>();
    const link = (a: UnitName, b: UnitName) => void (neighbours.get(a)?.push(b) ?? neighbours.set(a, [b]));
    for (const job of this.singles.values()) {
      for (const peer of job.requirements.machineOf) {
        if (!this.singles.has(peer)) continue;
        link(job.name, peer);
        link(peer, job.name);
      }
    }
    for (const job of this.singles.values()) {
      if (this.#components.has(job.name)) continue;
      const names = new Set([job.name]);
      for (const name of names) for (const other of neighbours.get(name) ?? []) names.add(other);
      const members = [...names].flatMap((name) => this.singles.get(name) ?? []).sort(byAge);
      for (const member of members) this.#components.set(member.name, members);
    }
  }
}
