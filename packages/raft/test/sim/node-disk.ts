import type { Prng } from "@keelson/testkit";
import { type ConfState, type Entry, type HardState, MemoryStorage, type Snapshot } from "../../src/index.ts";

/** One write, which a crash can tear: entries come first, the hard state last; the other parts are atomic. */
export interface DiskWrite {
  readonly entries?: readonly Entry[];
  readonly hardState?: HardState | undefined;
  /** From the leader; replaces the log. */
  readonly snapshot?: Snapshot | undefined;
  /** Of this node's own state machine. */
  readonly own?: { readonly index: number; readonly confState: ConfState; readonly data: Uint8Array };
  readonly compactTo?: number;
}

/** What one node stores: `live` is what it reads back, and a crash loses or tears what was not synced. */
export class NodeDisk {
  live: MemoryStorage;
  #durable: MemoryStorage;
  #pending: DiskWrite[] = [];

  constructor(first: Snapshot | undefined) {
    this.#durable = new MemoryStorage();
    if (first !== undefined) {
      this.#durable.applySnapshot(first);
      this.#durable.setHardState({ term: first.metadata.term, vote: 0n, commit: first.metadata.index });
    }
    this.live = this.#durable.clone();
  }

  /** The commit index that a restart would find. */
  get durableCommit(): number {
    return this.#durable.initialState().hardState?.commit ?? 0;
  }

  write(w: DiskWrite): void {
    perform(this.live, w);
    this.#pending.push(w);
  }

  sync(): void {
    for (const w of this.#pending) perform(this.#durable, w);
    this.#pending = [];
  }

  /** Power is cut: some prefix of the unsynced writes survives, and the next one perhaps in part. */
  crash(rng: Prng): void {
    const kept = rng.below(this.#pending.length + 1);
    for (const w of this.#pending.slice(0, kept)) perform(this.#durable, w);
    const torn = this.#pending[kept];
    if (torn?.entries !== undefined && torn.snapshot === undefined && rng.chance(0.5)) {
      perform(this.#durable, { entries: torn.entries.slice(0, rng.below(torn.entries.length + 1)) });
    }
    this.#pending = [];
    this.live = this.#durable.clone();
  }
}

function perform(s: MemoryStorage, w: DiskWrite): void {
  if (w.snapshot !== undefined) s.applySnapshot(w.snapshot);
  if (w.entries !== undefined) s.append(w.entries);
  if (w.hardState !== undefined) s.setHardState(w.hardState);
  if (w.own !== undefined) s.createSnapshot(w.own.index, w.own.confState, w.own.data);
  if (w.compactTo !== undefined && w.compactTo >= s.firstIndex()) s.compact(w.compactTo);
}
