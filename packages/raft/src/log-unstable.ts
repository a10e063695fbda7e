import { broken } from "./errors.ts";
import type { RaftLogger } from "./logger.ts";
import { type Entry, NO_ENTRIES, type Snapshot } from "./types.ts";

/**
 * The tail of the log, and possibly a snapshot, that stable storage does not hold yet: either not handed out, or handed
 * out and being written. Entry `i` of the array is at log position `offset + i`. Storage may hold newer positions than
 * `offset`, which the next write will replace (upstream: log_unstable.go).
 */
export class UnstableLog {
  snapshot: Snapshot | undefined;
  offset: number;
  /** One above the last entry handed out for writing. Invariant: offset <= offsetInProgress. */
  offsetInProgress: number;
  #entries: Entry[] = [];
  #snapshotInProgress = false;
  readonly #logger: RaftLogger;

  constructor(offset: number, logger: RaftLogger) {
    this.offset = offset;
    this.offsetInProgress = offset;
    this.#logger = logger;
  }

  get length(): number {
    return this.#entries.length;
  }

  /** The first index of a log that starts with the unstable snapshot. */
  firstIndex(): number | undefined {
    return this.snapshot === undefined ? undefined : this.snapshot.metadata.index + 1;
  }

  lastIndex(): number | undefined {
    const n = this.#entries.length;
    if (n > 0) return this.offset + n - 1;
    return this.snapshot?.metadata.index;
  }

  term(index: number): number | undefined {
    if (index >= this.offset) return this.#entries[index - this.offset]?.term;
    const meta = this.snapshot?.metadata;
    return meta !== undefined && meta.index === index ? meta.term : undefined;
  }

  get hasNextEntries(): boolean {
    return this.#entries.length > this.offsetInProgress - this.offset;
  }

  /** Entries to write that were not handed out yet. */
  nextEntries(): readonly Entry[] {
    return this.hasNextEntries ? this.#entries.slice(this.offsetInProgress - this.offset) : NO_ENTRIES;
  }

  /** The snapshot to write, unless it was handed out already. */
  nextSnapshot(): Snapshot | undefined {
    return this.#snapshotInProgress ? undefined : this.snapshot;
  }

  /** Everything is being written now. */
  acceptInProgress(): void {
    if (this.#entries.length > 0) this.offsetInProgress = this.offset + this.#entries.length;
    if (this.snapshot !== undefined) this.#snapshotInProgress = true;
  }

  /**
   * Entries up to this one are in stable storage. Only to be called when no write under way can overwrite them;
   * what does not fit (any more) is ignored.
   */
  stableTo(index: number, term: number): void {
    const have = this.term(index);
    if (have === undefined) {
      this.#logger.info(`entry at index ${index} missing from unstable log; ignoring`);
      return;
    }
    if (index < this.offset) {
      this.#logger.info(`entry at index ${index} matched unstable snapshot; ignoring`);
      return;
    }
    if (have !== term) {
      // The tail was replaced while it was being written.
      this.#logger.info(
        `entry at (index,term)=(${index},${term}) mismatched with entry at (${index},${have}) in unstable log; ignoring`,
      );
      return;
    }
    const count = index + 1 - this.offset;
    this.#entries = count === this.#entries.length ? [] : this.#entries.slice(count);
    this.offset = index + 1;
    if (this.offsetInProgress < this.offset) this.offsetInProgress = this.offset;
  }

  stableSnapTo(index: number): void {
    if (this.snapshot?.metadata.index !== index) return;
    this.snapshot = undefined;
    this.#snapshotInProgress = false;
  }

  /** The log starts over from a snapshot. */
  restore(snap: Snapshot): void {
    this.offset = snap.metadata.index + 1;
    this.offsetInProgress = this.offset;
    this.#entries = [];
    this.snapshot = snap;
    this.#snapshotInProgress = false;
  }

  /** Appends `entries[from..]`, which are consecutive; existing entries at their positions and after are replaced. */
  truncateAndAppend(entries: readonly Entry[], from: number): void {
    const first = (entries[from] as Entry).index;
    if (first === this.offset + this.#entries.length) {
      // The usual case.
    } else if (first <= this.offset) {
      this.#logger.info(`replace the unstable entries from index ${first}`);
      this.#entries = [];
      this.offset = first;
      this.offsetInProgress = first;
    } else {
      this.#logger.info(`truncate the unstable entries before index ${first}`);
      this.#check(this.offset, first);
      this.#entries.length = first - this.offset;
      this.offsetInProgress = Math.min(this.offsetInProgress, first);
    }
    for (let i = from; i < entries.length; i++) this.#entries.push(entries[i] as Entry);
  }

  /** The unstable entries as they are; do not keep or change. For measuring before copying, see {@link slice}. */
  view(): readonly Entry[] {
    return this.#entries;
  }

  /** A copy of `[lo, hi)`, all of which must be here. */
  slice(lo: number, hi: number): Entry[] {
    this.#check(lo, hi);
    return this.#entries.slice(lo - this.offset, hi - this.offset);
  }

  #check(lo: number, hi: number): void {
    if (lo > hi) broken(`invalid unstable.slice ${lo} > ${hi}`);
    const upper = this.offset + this.#entries.length;
    if (lo < this.offset || hi > upper) {
      broken(`unstable.slice[${lo},${hi}) out of bound [${this.offset},${upper}]`);
    }
  }
}
