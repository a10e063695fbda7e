import type { Revision } from "@keelson/types";
import type { HistoryOptions } from "./history.ts";
import type { MvccEvent, RevisionEvents } from "./types.ts";

/** What a hub reads of a store. `MvccStore` is one. */
export interface WatchSource {
  readonly revision: Revision;
  readonly compactRevision: Revision;
  eventsSince(start: Revision, options?: HistoryOptions): readonly RevisionEvents[];
  fillPrevKv(event: MvccEvent): void;
}

/** How much of the history a hub keeps in memory. */
export interface EventLogLimits {
  /** Latest revisions kept, and older ones again; default 10 000. */
  readonly maxRevisions?: number;
  /** Bytes of keys and values kept, of the latest revisions and again of older ones read for watchers; default 16 MiB. */
  readonly maxBytes?: number;
}

/** Revisions fetched from the store at once for a watcher that is behind. */
const FETCH_REVISIONS = 64;
const FETCH_BYTES = 256 * 1024;

/**
 * The latest revisions' events, and a cache of older ones, shared by all watchers: every watcher is given the same event
 * objects, and only holds a position.
 */
export class EventLog {
  #source: WatchSource;
  readonly #maxRevisions: number;
  readonly #maxBytes: number;
  /** The revisions `#first` to `revision`; entries before `#head` are gone. */
  #recent: RevisionEvents[] = [];
  #head = 0;
  #recentBytes = 0;
  readonly #older = new Map<Revision, RevisionEvents>();
  #olderBytes = 0;
  /** The latest revision known here. */
  revision: Revision;

  constructor(source: WatchSource, limits: EventLogLimits) {
    this.#source = source;
    this.#maxRevisions = limits.maxRevisions ?? 10_000;
    this.#maxBytes = limits.maxBytes ?? 16 * 1024 * 1024;
    this.revision = source.revision;
  }

  append(changes: RevisionEvents): void {
    this.revision = changes.revision;
    this.#recent.push(changes);
    this.#recentBytes += changes.bytes;
    const kept = () => this.#recent.length - this.#head;
    while (kept() > 1 && (kept() > this.#maxRevisions || this.#recentBytes > this.#maxBytes)) {
      this.#recentBytes -= (this.#recent[this.#head] as RevisionEvents).bytes;
      this.#head++;
    }
    if (this.#head > 64 && this.#head * 2 > this.#recent.length) {
      this.#recent = this.#recent.slice(this.#head);
      this.#head = 0;
    }
  }

  /** The events of a revision, or undefined if a compaction took them. */
  at(revision: Revision): RevisionEvents | undefined {
    const fromEnd = this.revision - revision;
    const index = this.#recent.length - 1 - fromEnd;
    if (index >= this.#head) return this.#recent[index];
    const cached = this.#older.get(revision);
    if (cached !== undefined) return cached;
    if (revision < this.#source.compactRevision) return undefined;
    this.#fetch(revision);
    return this.#older.get(revision);
  }

  #fetch(revision: Revision): void {
    const limits = { maxRevisions: FETCH_REVISIONS, maxBytes: FETCH_BYTES };
    const fetched = this.#source.eventsSince(revision, limits);
    for (const changes of fetched) {
      if (this.#older.has(changes.revision)) continue;
      this.#older.set(changes.revision, changes);
      this.#olderBytes += changes.bytes;
    }
    // A Map iterates in insertion order: the oldest reads go first, never what was just read.
    for (const [old, changes] of this.#older) {
      if ((this.#olderBytes <= this.#maxBytes && this.#older.size <= this.#maxRevisions) || old === revision) break;
      this.#older.delete(old);
      this.#olderBytes -= changes.bytes;
    }
  }

  /** Replaces the store, which may have jumped ahead: what is in memory is not used any more. */
  reset(source: WatchSource): void {
    this.#source = source;
    this.revision = source.revision;
    this.#recent = [];
    this.#head = 0;
    this.#recentBytes = 0;
    this.#older.clear();
    this.#olderBytes = 0;
  }
}
