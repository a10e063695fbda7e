import type { MachineId, UnitName } from "@keelson/types";
import { formatOptions, hashOptions, type UnitOption } from "@keelson/unit";
import type { DesiredState } from "../core/model.ts";
import { ContentionError } from "../errors.ts";
import type { Condition, Write } from "../store/port.ts";
import { formatJobObject, formatUnitBlob } from "./records.ts";
import type { Registry } from "./registry.ts";
import type { UnitRecord } from "./view.ts";

const TRIES_MAX = 8;

type Attempt<T> =
  | { readonly done: T }
  | { readonly conditions: Condition[]; readonly writes: Write[]; readonly then: T };

/**
 * Changes that the API makes. Each is one transaction, conditional on what it was decided on; when that has changed
 * meanwhile it is decided again. The registry's view includes the change when the promise resolves.
 */
export class RegistryWriter {
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** Creates a unit, or gives an existing one another text. The text of no unit is ever left behind. */
  putUnit(name: UnitName, options: readonly UnitOption[], desired: DesiredState | undefined): Promise<void> {
    const hash = hashOptions(options);
    const { keys, view } = this.#registry;
    return this.#attempt(() => {
      const unit = view.unit(name);
      const conditions: Condition[] = [{ key: keys.jobObject(name), modRevision: unit?.modRevision ?? 0 }];
      // Put even when it is there: the new revision tells whoever is about to delete it that it has another user.
      const writes: Write[] = [
        { type: "put", key: keys.unit(hash), value: formatUnitBlob(formatOptions(options)) },
        { type: "put", key: keys.jobObject(name), value: formatJobObject({ name, hash }) },
      ];
      const state = desired ?? (unit === undefined ? "inactive" : undefined);
      if (state !== undefined) writes.push({ type: "put", key: keys.targetState(name), value: state });
      if (unit !== undefined && unit.hash !== hash) this.#release(unit, conditions, writes);
      return { conditions, writes, then: undefined };
    });
  }

  /** Gives a unit another desired state. False: there is no such unit. */
  setDesired(name: UnitName, desired: DesiredState): Promise<boolean> {
    const { keys, view } = this.#registry;
    return this.#attempt<boolean>(() => {
      const unit = view.unit(name);
      if (unit === undefined) return { done: false };
      if (unit.desired === desired) return { done: true };
      return {
        conditions: [{ key: keys.jobObject(name), createRevision: unit.createRevision }],
        writes: [{ type: "put", key: keys.targetState(name), value: desired }],
        then: true,
      };
    });
  }

  /** Removes a unit and, with its last user, its text. False: there is no such unit. */
  destroyUnit(name: UnitName): Promise<boolean> {
    const { keys, view } = this.#registry;
    return this.#attempt<boolean>(() => {
      const unit = view.unit(name);
      if (unit === undefined) return { done: false };
      const conditions: Condition[] = [{ key: keys.jobObject(name), modRevision: unit.modRevision }];
      const writes: Write[] = [{ type: "deletePrefix", prefix: keys.job(name) }];
      this.#release(unit, conditions, writes);
      return { conditions, writes, then: true };
    });
  }

  /** Sets a machine's metadata, also of a machine that is not registered; an empty value hides an announced one. */
  async setMetadata(changes: readonly { machineId: MachineId; key: string; value: string }[]): Promise<void> {
    for (const { machineId, key, value } of changes) {
      await this.#attempt(() => ({
        conditions: [],
        writes: [{ type: "put", key: this.#registry.keys.machineMetadata(machineId, key), value }],
        then: undefined,
      }));
    }
  }

  #release(unit: UnitRecord, conditions: Condition[], writes: Write[]): void {
    const { keys, view } = this.#registry;
    if ([...view.refs(unit.hash)].some((other) => other !== unit.name)) return;
    conditions.push({ key: keys.unit(unit.hash), modRevision: view.blobRevision(unit.hash) });
    writes.push({ type: "delete", key: keys.unit(unit.hash) });
  }

  async #attempt<T>(prepare: () => Attempt<T>): Promise<T> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const attempt = prepare();
      if ("done" in attempt) return attempt.done;
      const { isCommitted, revision } = await this.#registry.store.commit(attempt.conditions, attempt.writes);
      if (isCommitted) {
        if (!(await this.#registry.waitFor(revision, 1_000))) await this.#registry.sync();
        return attempt.then;
      }
      await this.#registry.sync();
    }
    throw new ContentionError(`others kept changing the same unit; gave up after ${TRIES_MAX} tries`);
  }
}
