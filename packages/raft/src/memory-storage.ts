import { broken, CompactedError, SnapshotOutOfDateError } from "./errors.ts";
import { countWithin } from "./size.ts";
import type { IndexGap, RaftStorage } from "./storage.ts";
import { type ConfState, EMPTY_SNAPSHOT, type Entry, type HardState, type Snapshot } from "./types.ts";

/** Dead slots at the front of the array before they are given back. */
const SLACK = 1024;

/** {@link RaftStorage} in memory: for tests, and for the recent part of a log that is also on disk. */
export class MemoryStorage implements RaftStorage {
  #hardState: HardState | undefined;
  #snapshot: Snapshot = EMPTY_SNAPSHOT;
  // The entry at #offset was compacted away; only its term is known. Entry i lives at #entries[#head + i - #offset - 1].
  #offset = 0;
  #offsetTerm = 0;
  #entries: Entry[] = [];
  #head = 0;

  initialState(): { hardState: HardState | undefined; confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#snapshot.metadata.confState };
  }

  firstIndex(): number {
    return this.#offset + 1;
  }

  lastIndex(): number {
    return this.#offset + this.#entries.length - this.#head;
  }

  term(index: number): number | IndexGap {
    if (index < this.#offset) return "compacted";
    if (index === this.#offset) return this.#offsetTerm;
    return this.#entries[this.#slot(index)]?.term ?? "unavailable";
  }

  entries(lo: number, hi: number, maxBytes: number): readonly Entry[] | IndexGap {
    if (lo <= this.#offset) return "compacted";
    if (hi > this.lastIndex() + 1) broken(`entries' hi(${hi}) is out of bound lastindex(${this.lastIndex()})`);
    if (this.lastIndex() === this.#offset) return "unavailable";
    const from = this.#slot(lo);
    return this.#entries.slice(from, from + countWithin(this.#entries, from, this.#slot(hi), maxBytes));
  }

  snapshot(): Snapshot {
    return this.#snapshot;
  }

  setHardState(hs: HardState): void {
    this.#hardState = hs;
  }

  /**
   * Replaces everything by a snapshot that came from the leader.
   * @throws SnapshotOutOfDateError when this storage is as new already
   */
  applySnapshot(snap: Snapshot): void {
    const { index, term } = snap.metadata;
    const have = this.#snapshot.metadata.index;
    if (have !== 0 && have >= index) throw new SnapshotOutOfDateError(index, have);
    this.#snapshot = snap;
    this.#offset = index;
    this.#offsetTerm = term;
    this.#entries = [];
    this.#head = 0;
  }

  /**
   * Records the application's state at `index`. Compaction is a separate step.
   * @param confState the membership at `index`, when it changed since the last snapshot
   * @throws SnapshotOutOfDateError
   */
  createSnapshot(index: number, confState: ConfState | undefined, data: Uint8Array): Snapshot {
    const have = this.#snapshot.metadata;
    if (index <= have.index) throw new SnapshotOutOfDateError(index, have.index);
    const term = this.term(index);
    if (typeof term === "string") broken(`snapshot ${index} is out of bound lastindex(${this.lastIndex()})`);
    this.#snapshot = { data, metadata: { index, term, confState: confState ?? have.confState } };
    return this.#snapshot;
  }

  /**
   * Forgets the entries up to and including `index`, which must have been applied.
   * @throws CompactedError when they are gone already
   */
  compact(index: number): void {
    if (index <= this.#offset) throw new CompactedError(index, this.firstIndex());
    const term = this.term(index);
    if (typeof term === "string") broken(`compact ${index} is out of bound lastindex(${this.lastIndex()})`);
    const dropped = index - this.#offset;
    // Let go of the entries at once and of their slots later: moving the tail down on each call would be quadratic.
    for (let i = 0; i < dropped; i++) this.#entries[this.#head + i] = HOLE;
    this.#head += dropped;
    this.#offset = index;
    this.#offsetTerm = term;
    if (this.#head > SLACK && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Appends entries, replacing those at and after the first of them. What was compacted already is skipped. */
  append(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined || last.index <= this.#offset) return;
    let skip = 0;
    while ((entries[skip] as Entry).index <= this.#offset) skip++;
    const at = this.#slot((entries[skip] as Entry).index);
    if (at > this.#entries.length) {
      broken(`missing log entry [last: ${this.lastIndex()}, append at: ${(entries[skip] as Entry).index}]`);
    }
    this.#entries.length = at;
    for (let i = skip; i < entries.length; i++) this.#entries.push(entries[i] as Entry);
  }

  /** An independent copy; entries are shared, as they are immutable. */
  clone(): MemoryStorage {
    const copy = new MemoryStorage();
    copy.#hardState = this.#hardState;
    copy.#snapshot = this.#snapshot;
    copy.#offset = this.#offset;
    copy.#offsetTerm = this.#offsetTerm;
    copy.#entries = this.#entries.slice(this.#head);
    return copy;
  }

  #slot(index: number): number {
    return this.#head + index - this.#offset - 1;
  }
}

const HOLE: Entry = Object.freeze({ term: 0, index: 0, type: "EntryNormal", data: new Uint8Array(0) });
