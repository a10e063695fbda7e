import type { MachineId, Revision, UnitName } from "@keelson/types";
import { parseOptions, parseRequirements, parseUnitName, type Requirements, type UnitOption } from "@keelson/unit";
import { type ClusterView, compareText, type DesiredState, type Job } from "../core/model.ts";
import type { StoreEntry } from "../store/port.ts";
import type { Keys } from "./keys.ts";
import {
  type MachineRecord,
  parseDesired,
  parseJobObject,
  parseMachine,
  parseState,
  parseUnitBlob,
  type StateRecord,
} from "./records.ts";

/** A unit as the registry holds it. */
export interface UnitRecord {
  readonly name: UnitName;
  readonly hash: string;
  /** Revisions of `object`, for conditions; `createRevision` is also the unit's age. */
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** The file's text. */
  readonly raw: string;
  readonly options: readonly UnitOption[];
  readonly requirements: Requirements;
  readonly desired: DesiredState;
  readonly target?: MachineId;
  /** Revision of `target`; 0 when there is none. */
  readonly targetRevision: Revision;
  /** Why it waits, as the engine wrote it. */
  readonly why?: string;
}

/** A machine that is alive. */
export interface MachineEntry {
  readonly record: MachineRecord;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
}

/** What a change touched. `schedule`: whatever decides where units are; `states`: what machines say of units. */
export type Topic = "schedule" | "states";

interface Parts {
  object?: StoreEntry;
  targetState?: StoreEntry;
  target?: StoreEntry;
  why?: StoreEntry;
}

interface Blob {
  readonly raw: string;
  readonly options: readonly UnitOption[];
  readonly modRevision: Revision;
}

const NO_STATES: ReadonlyMap<MachineId, StateRecord> = new Map();

/** The registry's keys, taken apart and put together as units, states and machines. Filled key by key. */
export class RegistryView {
  readonly #keys: Keys;
  readonly #parts = new Map<UnitName, Parts>();
  readonly #blobs = new Map<string, Blob>();
  readonly #units = new Map<UnitName, UnitRecord>();
  readonly #hashOf = new Map<UnitName, string>();
  readonly #refs = new Map<string, Set<UnitName>>();
  readonly #states = new Map<UnitName, Map<MachineId, StateRecord>>();
  readonly #machines = new Map<MachineId, MachineEntry>();
  readonly #overrides = new Map<MachineId, Map<string, string>>();

  constructor(keys: Keys) {
    this.#keys = keys;
  }

  unit(name: UnitName): UnitRecord | undefined {
    return this.#units.get(name);
  }

  /** All units, sorted by name. */
  units(): UnitRecord[] {
    return [...this.#units.values()].sort((a, b) => compareText(a.name, b.name));
  }

  /** In no order; cheaper than {@link units}. */
  eachUnit(): Iterable<UnitRecord> {
    return this.#units.values();
  }

  get unitCount(): number {
    return this.#units.size;
  }

  /** Units whose text has this hash. */
  refs(hash: string): ReadonlySet<UnitName> {
    return this.#refs.get(hash) ?? new Set();
  }

  /** Revision of the text with this hash; 0 when it is not there. */
  blobRevision(hash: string): Revision {
    return this.#blobs.get(hash)?.modRevision ?? 0;
  }

  /** Texts that no unit has, with their revisions: two units with one text were destroyed at the same time. */
  unusedBlobs(): { readonly hash: string; readonly modRevision: Revision }[] {
    const unused = [...this.#blobs].filter(([hash]) => !this.#refs.has(hash));
    return unused.map(([hash, { modRevision }]) => ({ hash, modRevision }));
  }

  /** What machines say of a unit. */
  states(name: UnitName): ReadonlyMap<MachineId, StateRecord> {
    return this.#states.get(name) ?? NO_STATES;
  }

  /** All states, sorted by unit and machine. */
  allStates(): { readonly name: UnitName; readonly state: StateRecord }[] {
    return [...this.#states.entries()]
      .sort(([a], [b]) => compareText(a, b))
      .flatMap(([name, states]) =>
        [...states.values()].sort((a, b) => compareText(a.machineId, b.machineId)).map((state) => ({ name, state })),
      );
  }

  machine(id: MachineId): MachineEntry | undefined {
    return this.#machines.get(id);
  }

  /** All machines, sorted by id. */
  machines(): MachineEntry[] {
    return [...this.#machines.values()].sort((a, b) => compareText(a.record.id, b.record.id));
  }

  /** What the machine announced, changed by what was set through the API; an empty override removes a key. */
  metadata(id: MachineId, announced: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    const overrides = this.#overrides.get(id);
    if (overrides === undefined) return announced;
    const merged = new Map([...Object.entries(announced), ...overrides]);
    return Object.fromEntries([...merged].filter(([, value]) => value !== ""));
  }

  /** The scheduler's input. `self` stands in for a machine whose key may be missing at the moment. */
  cluster(self?: MachineRecord): ClusterView {
    const jobs: Job[] = [];
    for (const unit of this.#units.values()) jobs.push(jobOf(unit));
    const records = this.machines().map((machine) => machine.record);
    const all = self === undefined ? records : [...records.filter((machine) => machine.id !== self.id), self];
    return { jobs, machines: all.map(({ id, metadata }) => ({ id, metadata: this.metadata(id, metadata) })) };
  }

  clear(): void {
    for (const map of [this.#parts, this.#blobs, this.#units, this.#hashOf, this.#refs]) map.clear();
    for (const map of [this.#states, this.#machines, this.#overrides]) map.clear();
  }

  /** Takes in one key's new value, or its absence. Returns what it touched; undefined for keys that mean nothing here. */
  apply(key: string, entry: StoreEntry | undefined): Topic | undefined {
    const [kind, name, leaf, more] = key.slice(this.#keys.prefix.length).split("/");
    if (name === undefined || name === "") return undefined;
    if (kind === "job" && leaf !== undefined) return this.#applyJob(name, leaf, entry);
    if (kind === "unit" && leaf === undefined) return this.#applyBlob(name, entry);
    if (kind === "states" && leaf !== undefined) return this.#applyState(name, leaf, entry);
    if (kind === "machines" && leaf === "object") return this.#applyMachine(name, entry);
    if (kind === "machines" && leaf === "metadata" && more !== undefined) {
      return this.#applyOverride(name, more, entry);
    }
    return undefined;
  }

  #applyJob(name: UnitName, leaf: string, entry: StoreEntry | undefined): Topic | undefined {
    const field = ({ object: "object", "target-state": "targetState", target: "target", why: "why" } as const)[leaf];
    if (field === undefined) return undefined;
    const parts = this.#parts.get(name) ?? {};
    if (entry === undefined) delete parts[field];
    else parts[field] = entry;
    if (Object.keys(parts).length === 0) this.#parts.delete(name);
    else this.#parts.set(name, parts);
    this.#assemble(name);
    return field === "why" ? "states" : "schedule";
  }

  #applyBlob(hash: string, entry: StoreEntry | undefined): Topic {
    const raw = entry === undefined ? undefined : parseUnitBlob(entry.value);
    const options = raw === undefined ? undefined : optionsOf(raw);
    if (entry === undefined || raw === undefined || options === undefined) this.#blobs.delete(hash);
    else this.#blobs.set(hash, { raw, options, modRevision: entry.modRevision });
    for (const name of this.#refs.get(hash) ?? []) this.#assemble(name);
    return "schedule";
  }

  #assemble(name: UnitName): void {
    const old = this.#units.get(name);
    const { object, targetState, target, why } = this.#parts.get(name) ?? {};
    const parsed = object === undefined ? undefined : parseJobObject(object.value);
    this.#refer(name, parsed?.hash);
    const blob = parsed === undefined ? undefined : this.#blobs.get(parsed.hash);
    if (object === undefined || parsed === undefined || blob === undefined) {
      this.#units.delete(name);
      return;
    }
    const requirements =
      old?.hash === parsed.hash ? old.requirements : parseRequirements(blob.options, parseUnitName(name)).requirements;
    this.#units.set(name, {
      name,
      hash: parsed.hash,
      createRevision: object.createRevision,
      modRevision: object.modRevision,
      raw: blob.raw,
      options: blob.options,
      requirements,
      desired: parseDesired(targetState?.value ?? "") ?? "inactive",
      targetRevision: target?.modRevision ?? 0,
      ...(target === undefined ? {} : { target: target.value }),
      ...(why === undefined ? {} : { why: why.value }),
    });
  }

  #refer(name: UnitName, hash: string | undefined): void {
    const before = this.#hashOf.get(name);
    if (before === hash) return;
    if (before !== undefined) {
      const refs = this.#refs.get(before);
      refs?.delete(name);
      if (refs?.size === 0) this.#refs.delete(before);
    }
    if (hash === undefined) {
      this.#hashOf.delete(name);
      return;
    }
    this.#hashOf.set(name, hash);
    const refs = this.#refs.get(hash);
    if (refs === undefined) this.#refs.set(hash, new Set([name]));
    else refs.add(name);
  }

  #applyState(name: UnitName, machine: MachineId, entry: StoreEntry | undefined): Topic {
    const state = entry === undefined ? undefined : parseState(entry.value);
    const states = this.#states.get(name) ?? new Map<MachineId, StateRecord>();
    if (state === undefined) states.delete(machine);
    else states.set(machine, state);
    if (states.size === 0) this.#states.delete(name);
    else this.#states.set(name, states);
    return "states";
  }

  #applyMachine(id: MachineId, entry: StoreEntry | undefined): Topic {
    const record = entry === undefined ? undefined : parseMachine(entry.value);
    if (entry === undefined || record?.id !== id) this.#machines.delete(id);
    else {
      const { createRevision, modRevision } = entry;
      this.#machines.set(id, { record, createRevision, modRevision });
    }
    return "schedule";
  }

  #applyOverride(id: MachineId, key: string, entry: StoreEntry | undefined): Topic {
    const overrides = this.#overrides.get(id) ?? new Map<string, string>();
    if (entry === undefined) overrides.delete(key);
    else overrides.set(key, entry.value);
    if (overrides.size === 0) this.#overrides.delete(id);
    else this.#overrides.set(id, overrides);
    return "schedule";
  }
}

/** A unit as the scheduler sees it. */
export function jobOf({ name, createRevision, desired, requirements, target }: UnitRecord): Job {
  return { name, order: createRevision, desired, requirements, ...(target === undefined ? {} : { target }) };
}

function optionsOf(raw: string): UnitOption[] | undefined {
  try {
    return parseOptions(raw);
  } catch {
    return undefined;
  }
}
