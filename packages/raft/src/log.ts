import { broken } from "./errors.ts";
import { UnstableLog } from "./log-unstable.ts";
import type { RaftLogger } from "./logger.ts";
import { countWithin, entriesBytes } from "./size.ts";
import type { IndexGap, RaftStorage } from "./storage.ts";
import { type Entry, NO_ENTRIES, type Snapshot } from "./types.ts";

/** Identifies an entry: a leader never makes two entries with one index, and a term has one leader at most. */
export interface EntryId {
  readonly term: number;
  readonly index: number;
}

/**
 * The whole log as Raft sees it: stable storage, and the unstable tail on top of it.
 *
 * Invariant: applied <= applying <= committed <= last index (upstream: log.go).
 */
export class RaftLog {
  readonly #storage: RaftStorage;
  readonly #logger: RaftLogger;
  readonly unstable: UnstableLog;
  /** The highest index known to be stored by a quorum. */
  committed: number;
  /** The highest index handed to the application. */
  applying: number;
  /** The highest index the application has finished with. */
  applied: number;
  /** Bytes of entries that the application may hold at once. */
  readonly maxApplyingBytes: number;
  #applyingBytes = 0;
  #applyingPaused = false;

  constructor(storage: RaftStorage, logger: RaftLogger, maxApplyingBytes: number) {
    this.#storage = storage;
    this.#logger = logger;
    const base = storage.firstIndex() - 1;
    this.unstable = new UnstableLog(storage.lastIndex() + 1, logger);
    this.committed = base;
    this.applying = base;
    this.applied = base;
    this.maxApplyingBytes = maxApplyingBytes;
  }

  firstIndex(): number {
    return this.unstable.firstIndex() ?? this.#storage.firstIndex();
  }

  lastIndex(): number {
    return this.unstable.lastIndex() ?? this.#storage.lastIndex();
  }

  lastId(): EntryId {
    const index = this.lastIndex();
    const term = this.term(index);
    if (typeof term === "string") broken(`unexpected error when getting the last term at ${index}: ${term}`);
    return { term, index };
  }

  /** The term at `index`, which may also be the index just before the first entry. */
  term(index: number): number | IndexGap {
    const unstable = this.unstable.term(index);
    if (unstable !== undefined) return unstable;
    if (index + 1 < this.firstIndex()) return "compacted";
    if (index > this.lastIndex()) return "unavailable";
    return this.#storage.term(index);
  }

  /** {@link term}, with 0 for what is not known. */
  termOrZero(index: number): number {
    const term = this.term(index);
    return typeof term === "string" ? 0 : term;
  }

  matches(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Whether a log that ends in (term, index) holds everything committed, as far as this log can tell (paper 5.4.1). */
  isUpToDate(term: number, index: number): boolean {
    const ours = this.lastId();
    return term > ours.term || (term === ours.term && index >= ours.index);
  }

  /**
   * Appends what the leader sent, anchored at (prevIndex, prevTerm), and moves the commit index.
   * @returns the last index that now equals the leader's log, or undefined when the anchor does not match
   */
  maybeAppend(prevIndex: number, prevTerm: number, entries: readonly Entry[], committed: number): number | undefined {
    if (!this.matches(prevIndex, prevTerm)) return undefined;
    const last = prevIndex + entries.length;
    const conflict = this.findConflict(entries);
    if (conflict !== 0) {
      if (conflict <= this.committed) {
        broken(`entry ${conflict} conflict with committed entry [committed(${this.committed})]`);
      }
      this.append(entries, conflict - prevIndex - 1);
    }
    this.commitTo(Math.min(committed, last));
    return last;
  }

  /** Appends `entries[from..]`, replacing what is at and after their positions. Returns the new last index. */
  append(entries: readonly Entry[], from = 0): number {
    const first = entries[from];
    if (first === undefined) return this.lastIndex();
    if (first.index - 1 < this.committed) {
      broken(`after(${first.index - 1}) is out of range [committed(${this.committed})]`);
    }
    this.unstable.truncateAndAppend(entries, from);
    return this.lastIndex();
  }

  /** The index of the first of `entries` that this log does not have with that term, or 0 when it has them all. */
  findConflict(entries: readonly Entry[]): number {
    for (let i = 0; i < entries.length; i++) {
      const { index, term } = entries[i] as Entry;
      if (this.matches(index, term)) continue;
      if (index <= this.lastIndex()) {
        this.#logger.info(
          `found conflict at index ${index} [existing term: ${this.termOrZero(index)}, conflicting term: ${term}]`,
        );
      }
      return index;
    }
    return 0;
  }

  /**
   * Where this log may agree with another that has `term` at `index`: the largest position at or before `index` whose
   * term is not above `term`. Positions of unknown term may agree too, and are returned with term 0.
   */
  findConflictByTerm(index: number, term: number): EntryId {
    for (let i = index; i > 0; i--) {
      const ours = this.term(i);
      if (typeof ours === "string") return { index: i, term: 0 };
      if (ours <= term) return { index: i, term: ours };
    }
    return { index: 0, term: 0 };
  }

  /** Commits `index` if this node made it in `term`, its current one (paper 5.4.2). False when nothing moved. */
  maybeCommit(index: number, term: number): boolean {
    if (term === 0 || index <= this.committed || !this.matches(index, term)) return false;
    this.commitTo(index);
    return true;
  }

  /** Never moves back. */
  commitTo(index: number): void {
    if (this.committed >= index) return;
    if (this.lastIndex() < index) {
      broken(
        `tocommit(${index}) is out of range [lastIndex(${this.lastIndex()})]. Was the raft log corrupted, truncated, or lost?`,
      );
    }
    this.committed = index;
  }

  /** Entries that were handed to the application came back done; `bytes` is what they counted. */
  appliedTo(index: number, bytes: number): void {
    if (this.committed < index || index < this.applied) {
      broken(`applied(${index}) is out of range [prevApplied(${this.applied}), committed(${this.committed})]`);
    }
    this.applied = index;
    this.applying = Math.max(this.applying, index);
    this.#applyingBytes = Math.max(0, this.#applyingBytes - bytes);
    this.#applyingPaused = this.#applyingBytes >= this.maxApplyingBytes;
  }

  /** Entries up to `index`, counting `bytes`, were handed to the application. */
  acceptApplying(index: number, bytes: number, allowUnstable: boolean): void {
    if (this.committed < index) {
      broken(`applying(${index}) is out of range [prevApplying(${this.applying}), committed(${this.committed})]`);
    }
    this.applying = index;
    this.#applyingBytes += bytes;
    // Pause when the limit is reached, or when the hand-out stopped short because the next entry would pass it.
    this.#applyingPaused =
      this.#applyingBytes >= this.maxApplyingBytes || index < this.#maxAppliableIndex(allowUnstable);
  }

  hasNextCommitted(allowUnstable: boolean): boolean {
    // With a snapshot to apply it would be unclear what comes first.
    if (this.#applyingPaused || this.unstable.snapshot !== undefined) return false;
    return this.applying < this.#maxAppliableIndex(allowUnstable);
  }

  /** Committed entries to apply next. With `allowUnstable`, also those that this node has not stored yet. */
  nextCommitted(allowUnstable: boolean): readonly Entry[] {
    if (!this.hasNextCommitted(allowUnstable)) return NO_ENTRIES;
    const budget = this.maxApplyingBytes - this.#applyingBytes;
    const entries = this.slice(this.applying + 1, this.#maxAppliableIndex(allowUnstable) + 1, budget);
    if (entries === "compacted") broken("unexpected error when getting unapplied entries (compacted)");
    return entries;
  }

  /** Entries from `index` on, up to `maxBytes`. Empty at the end of the log. */
  entries(index: number, maxBytes: number): readonly Entry[] | "compacted" {
    const last = this.lastIndex();
    return index > last ? NO_ENTRIES : this.slice(index, last + 1, maxBytes);
  }

  snapshot(): Snapshot | "temporarily-unavailable" {
    return this.unstable.snapshot ?? this.#storage.snapshot();
  }

  /** Starts over from a snapshot of the leader. */
  restore(snap: Snapshot): void {
    const { index, term } = snap.metadata;
    this.#logger.info(`log [${this.toString()}] starts to restore snapshot [index: ${index}, term: ${term}]`);
    this.committed = index;
    this.unstable.restore(snap);
  }

  /** Whether any entry of `[lo, hi)` satisfies `test`; reads a page at a time to bound memory. */
  some(lo: number, hi: number, pageBytes: number, test: (e: Entry) => boolean): boolean {
    let at = lo;
    while (at < hi) {
      const page = this.slice(at, hi, pageBytes);
      if (page === "compacted" || page.length === 0) broken(`error scanning unapplied entries [${lo}, ${hi})`);
      if (page.some(test)) return true;
      at += page.length;
    }
    return false;
  }

  /** Entries of `[lo, hi)` as far as `maxBytes` allows, at least one. The array is the caller's. */
  slice(lo: number, hi: number, maxBytes: number): readonly Entry[] | "compacted" {
    if (lo > hi) broken(`invalid slice ${lo} > ${hi}`);
    if (lo < this.firstIndex()) return "compacted";
    if (hi > this.lastIndex() + 1) {
      broken(`slice[${lo},${hi}) out of bound [${this.firstIndex()},${this.lastIndex()}]`);
    }
    if (lo === hi) return NO_ENTRIES;
    const { offset } = this.unstable;
    if (lo >= offset) {
      const from = lo - offset;
      return this.unstable.slice(lo, lo + countWithin(this.unstable.view(), from, hi - offset, maxBytes));
    }
    const cut = Math.min(hi, offset);
    const stable = this.#storage.entries(lo, cut, maxBytes);
    if (stable === "compacted") return stable;
    if (stable === "unavailable") broken(`entries[${lo}:${cut}) is unavailable from storage`);
    // Shorter than asked for means that the limit was met.
    if (hi <= offset || stable.length < cut - lo) return stable;
    return this.#extend(stable, hi, maxBytes);
  }

  toString(): string {
    const { offset, offsetInProgress, length } = this.unstable;
    return (
      `committed=${this.committed}, applied=${this.applied}, applying=${this.applying}, ` +
      `unstable.offset=${offset}, unstable.offsetInProgress=${offsetInProgress}, len(unstable.Entries)=${length}`
    );
  }

  #extend(stable: readonly Entry[], hi: number, maxBytes: number): readonly Entry[] {
    const { offset } = this.unstable;
    const size = entriesBytes(stable);
    if (size >= maxBytes) return stable;
    const count = countWithin(this.unstable.view(), 0, hi - offset, maxBytes - size);
    const more = this.unstable.slice(offset, offset + count);
    // A single entry is returned whatever its size; here that would pass the limit.
    if (more.length === 1 && size + entriesBytes(more) > maxBytes) return stable;
    return [...stable, ...more];
  }

  #maxAppliableIndex(allowUnstable: boolean): number {
    return allowUnstable ? this.committed : Math.min(this.committed, this.unstable.offset - 1);
  }
}
