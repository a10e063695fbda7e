import type { MvccBackend } from "@keelson/mvcc";
import type { MemberId } from "@keelson/types";
import { idKey, KIND } from "./keys.ts";

/** Kinds of alarms by their numbers on the wire. */
export const ALARM_NOSPACE = 1;
export const ALARM_CORRUPT = 2;

export interface AlarmRecord {
  readonly memberId: MemberId;
  readonly alarm: number;
}

/** Alarms raised by members, until somebody disarms them. */
export class Alarms {
  readonly #backend: MvccBackend;
  readonly #active = new Map<string, AlarmRecord>();

  constructor(backend: MvccBackend, loaded: readonly AlarmRecord[]) {
    this.#backend = backend;
    for (const record of loaded) this.#active.set(name(record), record);
  }

  list(alarm = 0): AlarmRecord[] {
    return [...this.#active.values()].filter((a) => alarm === 0 || a.alarm === alarm);
  }

  has(alarm: number): boolean {
    return this.list(alarm).length > 0;
  }

  activate(record: AlarmRecord): void {
    this.#active.set(name(record), record);
    this.#backend.put(idKey(KIND.alarm, record.memberId, record.alarm), new Uint8Array(0));
  }

  /** Returns whether it was active. */
  deactivate(record: AlarmRecord): boolean {
    if (!this.#active.delete(name(record))) return false;
    this.#backend.delete(idKey(KIND.alarm, record.memberId, record.alarm));
    return true;
  }
}

function name({ memberId, alarm }: AlarmRecord): string {
  return `${memberId}/${alarm}`;
}
