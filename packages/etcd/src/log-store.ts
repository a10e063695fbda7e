import {
  type ConfState,
  decodeEntry,
  type Entry,
  encodeEntry,
  encodeHardState,
  type HardState,
  type IndexGap,
  type RaftStorage,
  type Snapshot,
} from "@keelson/raft";
import type { KvStore, WriteOp } from "@keelson/storage";
import { assert } from "@keelson/types";
import { DataDirError } from "./core/errors.ts";
import { logKey, META } from "./core/keys.ts";
import { encodePosition, type LogPosition } from "./core/records.ts";

/** Entries are kept in memory up to this many bytes; older ones are read from the store. */
const CACHE_BYTES_MAX = 16 * 1024 * 1024;
const ENTRY_OVERHEAD_BYTES = 64;

/** What a log starts from. */
export interface LogState {
  readonly hardState: HardState;
  /** The position just before the first entry. */
  readonly offset: LogPosition;
  readonly lastIndex: number;
}

/** The newest state that can be given to a follower. */
export interface SnapshotPoint extends LogPosition {
  readonly confState: ConfState;
}

/**
 * The Raft log in the member's store: what `RawNode` reads, and the write operations that change it. The driver writes
 * those operations itself, so that entries, hard state and whatever belongs to them are one batch and one fsync.
 */
export class LogStore implements RaftStorage {
  readonly #store: KvStore;
  readonly #snapshotPoint: () => SnapshotPoint;
  #hardState: HardState;
  #offset: LogPosition;
  #lastIndex: number;
  /** A suffix of the log; the first has index `#cacheFirst`. */
  #cache: Entry[] = [];
  #cacheFirst: number;
  #cacheBytes = 0;

  constructor(store: KvStore, state: LogState, snapshotPoint: () => SnapshotPoint) {
    this.#store = store;
    this.#hardState = state.hardState;
    this.#offset = state.offset;
    this.#lastIndex = state.lastIndex;
    this.#cacheFirst = state.lastIndex + 1;
    this.#snapshotPoint = snapshotPoint;
  }

  initialState(): { hardState: HardState; confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#snapshotPoint().confState };
  }

  firstIndex(): number {
    return this.#offset.index + 1;
  }

  lastIndex(): number {
    return this.#lastIndex;
  }

  term(index: number): number | IndexGap {
    if (index < this.#offset.index) return "compacted";
    if (index === this.#offset.index) return this.#offset.term;
    if (index > this.#lastIndex) return "unavailable";
    return this.#entry(index).term;
  }

  entries(lo: number, hi: number, maxBytes: number): readonly Entry[] | IndexGap {
    if (lo <= this.#offset.index) return "compacted";
    assert(hi <= this.#lastIndex + 1, "entries are read within the log", { hi, lastIndex: this.#lastIndex });
    if (this.#lastIndex === this.#offset.index) return "unavailable";
    const out: Entry[] = [];
    let bytes = 0;
    for (let index = lo; index < hi; index++) {
      const entry = this.#entry(index);
      bytes += entryBytes(entry);
      if (out.length > 0 && bytes > maxBytes) break;
      out.push(entry);
    }
    return out;
  }

  snapshot(): Snapshot {
    const { index, term, confState } = this.#snapshotPoint();
    // The state itself is read when the message is sent: see snapshot-sender.ts.
    return { data: new Uint8Array(0), metadata: { index, term, confState } };
  }

  /** Appends entries, replacing those at and after the first. Returns what to write; reads see it at once. */
  append(entries: readonly Entry[], hardState: HardState | undefined): WriteOp[] {
    const ops: WriteOp[] = [];
    const first = entries[0];
    if (first !== undefined) {
      // Now, not after: what is being appended must stay readable until it is written.
      this.#trim();
      assert(first.index > this.#offset.index && first.index <= this.#lastIndex + 1, "the log has no gap", {
        first: first.index,
        offset: this.#offset.index,
        lastIndex: this.#lastIndex,
      });
      this.#cut(first.index);
      for (const entry of entries) {
        ops.push({ type: "put", key: logKey(entry.index), value: encodeEntry(entry) });
        this.#cache.push(entry);
        this.#cacheBytes += entryBytes(entry);
      }
      const last = first.index + entries.length - 1;
      for (let i = last + 1; i <= this.#lastIndex; i++) ops.push({ type: "del", key: logKey(i) });
      this.#lastIndex = last;
    }
    if (hardState !== undefined) {
      this.#hardState = hardState;
      ops.push({ type: "put", key: META.hardState, value: encodeHardState(hardState) });
    }
    return ops;
  }

  /** Forgets the entries up to and including `index`. Returns what to write. */
  compact(index: number): WriteOp[] {
    const term = this.term(index);
    assert(typeof term === "number", "what is compacted is in the log", { index, term });
    const gte = logKey(this.#offset.index);
    this.#offset = { index, term };
    const drop = index + 1 - this.#cacheFirst;
    if (drop > 0) this.#dropCache(drop);
    return [
      { type: "put", key: META.logOffset, value: encodePosition(this.#offset) },
      { type: "delRange", gte, lt: logKey(index + 1) },
    ];
  }

  /** Starts over behind a snapshot of the leader. Returns what to write. */
  restart(offset: LogPosition): WriteOp[] {
    const gte = logKey(0);
    const lt = logKey(this.#lastIndex + 1);
    this.#offset = offset;
    this.#lastIndex = offset.index;
    this.#cache = [];
    this.#cacheBytes = 0;
    this.#cacheFirst = offset.index + 1;
    return [
      { type: "delRange", gte, lt },
      { type: "put", key: META.logOffset, value: encodePosition(offset) },
    ];
  }

  #entry(index: number): Entry {
    const cached = this.#cache[index - this.#cacheFirst];
    if (cached !== undefined) return cached;
    return readEntry(this.#store, index);
  }

  /** Forgets cached entries at and after `index`. */
  #cut(index: number): void {
    if (index < this.#cacheFirst) {
      this.#cache = [];
      this.#cacheBytes = 0;
      this.#cacheFirst = index;
      return;
    }
    for (const entry of this.#cache.splice(index - this.#cacheFirst)) this.#cacheBytes -= entryBytes(entry);
  }

  /** Half at a time: taking one from the front of an array moves all the others. */
  #trim(): void {
    if (this.#cacheBytes > CACHE_BYTES_MAX && this.#cache.length > 1) this.#dropCache(this.#cache.length >> 1);
  }

  #dropCache(count: number): void {
    for (const entry of this.#cache.splice(0, count)) this.#cacheBytes -= entryBytes(entry);
    this.#cacheFirst += count;
  }
}

/** @throws DataDirError naming the entry */
export function readEntry(store: KvStore, index: number): Entry {
  const bytes = store.get(logKey(index));
  if (bytes === undefined) throw new DataDirError(`raft log entry ${index} is missing`, { index });
  let entry: Entry;
  try {
    entry = decodeEntry(bytes);
  } catch (cause) {
    throw new DataDirError(`raft log entry ${index} cannot be decoded`, { index }, { cause });
  }
  if (entry.index !== index) {
    throw new DataDirError(`raft log entry ${index} says that it is entry ${entry.index}`, { index });
  }
  return entry;
}

function entryBytes(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}
