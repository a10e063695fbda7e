import type { Revision } from "@keelson/types";
import { bytesToKey } from "./bytes.ts";
import { CompactedError } from "./errors.ts";
import type { StoreState } from "./state.ts";
import { previousOf } from "./txn.ts";
import type { MvccEvent, RevisionEvents } from "./types.ts";
import { makeEvent } from "./write-tx.ts";

/** Bounds of one read of the history; the first revision is returned whatever its size. */
export interface HistoryOptions {
  /** Default 1000. */
  readonly maxRevisions?: number;
  /** Default 1 MiB of keys and values. */
  readonly maxBytes?: number;
  /** Fill each event's `prevKv`, where it can still be read. */
  readonly prevKv?: boolean;
}

const DEFAULT_MAX_REVISIONS = 1000;
const DEFAULT_MAX_BYTES = 1 << 20;

/**
 * The changes of the revisions from `start` on, one entry per revision without gaps. Lease ids before the change are
 * not known to the history (`oldLease` is 0n).
 *
 * @throws CompactedError if `start` is below the compact revision
 */
export function eventsSince(state: StoreState, start: Revision, options: HistoryOptions): RevisionEvents[] {
  const { compactRevision } = state.compaction;
  if (start < compactRevision) throw new CompactedError(start, compactRevision);
  const maxRevisions = options.maxRevisions ?? DEFAULT_MAX_REVISIONS;
  let bytesLeft = options.maxBytes ?? DEFAULT_MAX_BYTES;
  const result: RevisionEvents[] = [];
  // Main revisions are dense from 2 on; 1 is the empty store.
  for (let main = Math.max(start, 2); main <= state.revision && result.length < maxRevisions; main++) {
    const changes = readRevisionEvents(state, main, options.prevKv === true);
    bytesLeft -= changes.bytes;
    if (bytesLeft < 0 && result.length > 0) break;
    result.push(changes);
  }
  return result;
}

function readRevisionEvents(state: StoreState, main: Revision, prevKv: boolean): RevisionEvents {
  const events: MvccEvent[] = [];
  let bytes = 0;
  for (let sub = 0, last = false; !last; sub++) {
    const { tombstone, kv, following } = state.record(main, sub);
    const event = makeEvent(tombstone ? "delete" : "put", bytesToKey(kv.key), kv, 0n);
    if (prevKv) fillPrevKv(state, event);
    events.push(event);
    bytes += event.bytes;
    last = following === 0;
  }
  return { revision: main, events, bytes };
}

/** Looks up an event's `prevKv` once. */
export function fillPrevKv(state: StoreState, event: MvccEvent): void {
  if (event.prevKnown) return;
  event.prevKnown = true;
  const created = event.type === "put" && event.kv.createRevision === event.kv.modRevision;
  const prevKv = created ? undefined : previousOf(state, event.name, event.kv.modRevision);
  if (prevKv !== undefined) event.prevKv = prevKv;
}
