import { assert, type Revision } from "@keelson/types";
import { EventLog, type EventLogLimits, type WatchSource } from "./event-log.ts";
import { isEmptyRange, type KeyRange, keyRange, rangeContains } from "./key-range.ts";
import type { MvccEvent, RevisionEvents } from "./types.ts";
import { WatcherGroup } from "./watcher-group.ts";

export type WatchFilter = "noput" | "nodelete";

export interface WatchRequest {
  /** The caller's own name for it, for example the watch id on its stream. The hub does not look at it. */
  readonly id: number;
  /** Empty counts as `"\0"`. */
  readonly key: Uint8Array;
  /** As in a range: absent or empty is the single key, `"\0"` everything from `key`. */
  readonly end?: Uint8Array | undefined;
  /** The first revision to deliver; 0 or absent: the next one. May be in the future. */
  readonly startRevision?: Revision;
  readonly filters?: readonly WatchFilter[];
  /** Look up `prevKv` of the events delivered. */
  readonly prevKv?: boolean;
  /** Kept for the caller, who has the clock; see {@link WatchHub.progress}. */
  readonly progressNotify?: boolean;
  /** Allow a revision larger than a pull's limit to be split. */
  readonly fragment?: boolean;
  /** Called when there is something to pull, once until it has all been pulled. May pull at once. */
  readonly onReady?: () => void;
}

/** A watch in a hub: a position in the shared history. Only the hub changes it. */
export interface Watcher {
  readonly request: WatchRequest;
  readonly range: KeyRange;
  /** Whether everything up to the latest revision has been delivered. */
  readonly synced: boolean;
  /** Every earlier revision has been delivered, or holds nothing for this watcher. */
  readonly nextRevision: Revision;
}

export type WatchCreation =
  | { readonly type: "created"; readonly watcher: Watcher }
  /** The start is no longer there; the lowest that is. */
  | { readonly type: "compacted"; readonly compactRevision: Revision }
  /** No key can match (etcd: "mvcc: watcher range is empty"). */
  | { readonly type: "emptyRange" };

export type WatchPull =
  | {
      readonly type: "events";
      /** In order of revision. Never a part of a revision, unless `fragment`. */
      readonly events: readonly MvccEvent[];
      /** Everything up to here has been delivered: for the response header. With `fragment`, of the split revision. */
      readonly revision: Revision;
      /** The rest of the last revision follows in the next pulls; the last of them says false. */
      readonly fragment: boolean;
      /** Pull again: there may be more. */
      readonly more: boolean;
    }
  /** Nothing to deliver. `more` means that the search was long and is to be continued. */
  | { readonly type: "nothing"; readonly more: boolean }
  /** A compaction took what this watcher still had to see. It is out of the hub. */
  | { readonly type: "compacted"; readonly compactRevision: Revision };

export interface WatchHubOptions extends EventLogLimits {
  readonly source: WatchSource;
  /** Revisions that one pull looks through at most; default 1000. */
  readonly maxRevisionsPerPull?: number;
}

interface WatcherState {
  readonly request: WatchRequest;
  readonly range: KeyRange;
  readonly startRevision: Revision;
  /** What was asked, 0 for the next revision: such a watcher may be told of progress before it. */
  readonly askedRevision: Revision;
  synced: boolean;
  nextRevision: Revision;
  /** Events of `nextRevision` already delivered as fragments. */
  fragmentsDone: number;
  removed: boolean;
}

/**
 * Delivers the history to watchers: etcd's watchableStore without goroutines, channels or clocks.
 *
 * A write costs O(log watchers) per event plus the watchers that match, and no copy: a watcher is a position, and takes
 * events when its caller pulls. So a slow one delays nobody. Events are ordered, unique, complete and whole revisions.
 */
export class WatchHub {
  #source: WatchSource;
  readonly #log: EventLog;
  readonly #maxRevisionsPerPull: number;
  readonly #group = new WatcherGroup<WatcherState>();
  readonly #watchers = new Set<WatcherState>();

  constructor(options: WatchHubOptions) {
    this.#source = options.source;
    this.#log = new EventLog(options.source, options);
    this.#maxRevisionsPerPull = options.maxRevisionsPerPull ?? 1000;
  }

  /** The latest revision notified. */
  get revision(): Revision {
    return this.#log.revision;
  }

  /** Watchers in the hub. */
  get size(): number {
    return this.#watchers.size;
  }

  /** Adds a watcher. One that starts in the past is ready to be pulled at once (`onReady` is not called for that). */
  create(request: WatchRequest): WatchCreation {
    const range = keyRange(request.key.length === 0 ? ZERO_KEY : request.key, request.end);
    if (isEmptyRange(range)) return { type: "emptyRange" };
    const { compactRevision } = this.#source;
    const askedRevision = Math.max(request.startRevision ?? 0, 0);
    const next = this.#log.revision + 1;
    const startRevision = askedRevision === 0 ? next : askedRevision;
    if (startRevision < compactRevision) return { type: "compacted", compactRevision };
    // Revision 1 is the empty store.
    const nextRevision = Math.max(startRevision, 2);
    const synced = nextRevision >= next;
    const start = { startRevision, askedRevision, synced, nextRevision };
    const watcher = { request, range, ...start, fragmentsDone: 0, removed: false };
    this.#watchers.add(watcher);
    this.#group.add(watcher);
    return { type: "created", watcher };
  }

  /** Takes a watcher out. One that is out already (a compaction did that) stays out. */
  cancel(watcher: Watcher): void {
    const state = watcher as WatcherState;
    if (state.removed) return;
    state.removed = true;
    this.#watchers.delete(state);
    this.#group.delete(state);
  }

  /**
   * Makes the changes of the next revision known. To be called in the same step as the write, with what the write
   * returned, before anything else reads the store.
   */
  notify(changes: RevisionEvents): void {
    const { revision } = changes;
    assert(revision === this.#log.revision + 1, "revisions are notified one by one", { revision, at: this.revision });
    this.#log.append(changes);
    const ready: WatcherState[] = [];
    for (const event of changes.events) {
      this.#group.match(event.name, (watcher) => {
        if (watcher.startRevision > revision || isFiltered(watcher.request, event)) return;
        // Now, since a compaction may take it before the pull.
        if (watcher.request.prevKv) this.#source.fillPrevKv(event);
        if (!watcher.synced) return;
        watcher.synced = false;
        watcher.nextRevision = revision;
        ready.push(watcher);
      });
    }
    for (const watcher of ready) if (!watcher.removed) watcher.request.onReady?.();
  }

  /**
   * Takes the next events of a watcher: whole revisions up to about `maxBytes`, at least one.
   */
  pull(watcher: Watcher, maxBytes: number): WatchPull {
    const state = this.#own(watcher);
    if (state.synced) return { type: "nothing", more: false };
    const events: MvccEvent[] = [];
    let bytes = 0;
    const stop = state.nextRevision + this.#maxRevisionsPerPull;
    while (state.nextRevision <= this.#log.revision) {
      const changes = state.nextRevision < stop ? this.#log.at(state.nextRevision) : undefined;
      if (changes === undefined) {
        if (state.nextRevision >= stop) return batch(events, state, false, true);
        if (events.length > 0) return batch(events, state, false, true);
        this.cancel(watcher);
        return { type: "compacted", compactRevision: this.#source.compactRevision };
      }
      const matching = this.#matching(state, changes);
      const size = sizeOf(matching, state.request);
      if (events.length > 0 && bytes + size > maxBytes) return batch(events, state, false, true);
      if (size > maxBytes && state.request.fragment && matching.length > 1)
        return fragmentOf(state, matching, maxBytes);
      events.push(...matching);
      bytes += size;
      state.nextRevision++;
      state.fragmentsDone = 0;
    }
    state.synced = true;
    return batch(events, state, false, false);
  }

  /** The revision for a progress response of this watcher, or undefined if it has to catch up (or starts later). */
  progress(watcher: Watcher): Revision | undefined {
    const state = this.#own(watcher);
    const { revision } = this.#log;
    return state.synced && state.askedRevision <= revision ? revision : undefined;
  }

  /** The revision for a stream-wide progress response, only if every watcher of the stream may have one. */
  progressAll(watchers: Iterable<Watcher>): Revision | undefined {
    for (const watcher of watchers) if (this.progress(watcher) === undefined) return undefined;
    return this.#log.revision;
  }

  /** Goes on with another store (a snapshot was installed): watchers take what they missed from its history. */
  reset(source: WatchSource): void {
    const before = this.#log.revision;
    this.#source = source;
    this.#log.reset(source);
    for (const watcher of this.#watchers) {
      if (watcher.synced) watcher.nextRevision = Math.max(watcher.startRevision, before + 1);
      watcher.synced = watcher.nextRevision > source.revision;
    }
    // A watcher that is added meanwhile is not this loop's.
    const ready = Array.from(this.#watchers).filter((watcher) => !watcher.synced);
    for (const watcher of ready) if (!watcher.removed) watcher.request.onReady?.();
  }

  #matching(state: WatcherState, changes: RevisionEvents): MvccEvent[] {
    const matching: MvccEvent[] = [];
    for (const event of changes.events) {
      if (isFiltered(state.request, event) || !rangeContains(state.range, event.name)) continue;
      if (state.request.prevKv) this.#source.fillPrevKv(event);
      matching.push(event);
    }
    return state.fragmentsDone > 0 ? matching.slice(state.fragmentsDone) : matching;
  }

  #own(watcher: Watcher): WatcherState {
    const state = watcher as WatcherState;
    assert(this.#watchers.has(state), "the watcher is in this hub", { id: watcher.request.id });
    return state;
  }
}

const ZERO_KEY = new Uint8Array([0]);

function isFiltered({ filters }: WatchRequest, event: MvccEvent): boolean {
  return filters !== undefined && filters.includes(event.type === "put" ? "noput" : "nodelete");
}

function sizeOf(events: readonly MvccEvent[], { prevKv }: WatchRequest): number {
  let bytes = 0;
  for (const event of events) bytes += eventSize(event, prevKv === true);
  return bytes;
}

function eventSize(event: MvccEvent, withPrev: boolean): number {
  const prev = withPrev ? event.prevKv : undefined;
  return event.bytes + (prev === undefined ? 0 : prev.key.length + prev.value.length);
}

function batch(events: MvccEvent[], state: WatcherState, fragment: boolean, more: boolean): WatchPull {
  if (events.length === 0) return { type: "nothing", more };
  return { type: "events", events, revision: state.nextRevision - 1, fragment, more };
}

/** As many of the revision's events as fit, at least one; the position stays within the revision. */
function fragmentOf(state: WatcherState, matching: readonly MvccEvent[], maxBytes: number): WatchPull {
  let count = 0;
  let bytes = 0;
  for (const event of matching) {
    bytes += eventSize(event, state.request.prevKv === true);
    if (count > 0 && bytes > maxBytes) break;
    count++;
  }
  state.fragmentsDone += count;
  const events = matching.slice(0, count);
  return { type: "events", events, revision: state.nextRevision, fragment: true, more: true };
}
