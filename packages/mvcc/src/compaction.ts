import { assert, type Revision } from "@keelson/types";
import { bytesToKey } from "./bytes.ts";
import { recordKey } from "./codec.ts";
import { CompactedError, FutureRevisionError } from "./errors.ts";
import { type CompactionMeta, compactionMetaKey, encodeCompactionMeta } from "./meta.ts";
import type { StoreState } from "./state.ts";

/**
 * Forbids reads below `revision` from now on. Deletes nothing yet: {@link scrub} does, in steps.
 *
 * @throws CompactedError if that was done already, FutureRevisionError
 */
export function scheduleCompaction(state: StoreState, revision: Revision): void {
  const { compactRevision, cursorMain, cursorSub, done } = state.compaction;
  if (revision <= compactRevision) throw new CompactedError(revision, compactRevision);
  if (revision > state.revision) throw new FutureRevisionError(revision, state.revision);
  // Tombstones at the old compact revision were kept; they fall now, so that revision is visited again from its start.
  const again = cursorMain === compactRevision;
  save(state, { compactRevision: revision, cursorMain, cursorSub: again || done ? 0 : cursorSub, done: false });
}

/**
 * Deletes what the compaction made unreadable, looking at `budget` records at most. The caller makes each call one
 * atomic batch, in which the cursor is saved too: after a crash the work goes on where it was.
 *
 * Upstream scans the whole key space. Here only the revisions since the last compaction are visited, in order: a record
 * at or below the compact revision makes its key's earlier records unreadable, and a tombstone below it is itself. So
 * holes are always behind the cursor.
 */
export function scrub(state: StoreState, budget: number): { done: boolean; deleted: number } {
  if (state.compaction.done) return { done: true, deleted: 0 };
  assert(budget >= 1, "a scrub step looks at one record at least", { budget });
  const { compactRevision } = state.compaction;
  let { cursorMain: main, cursorSub: sub } = state.compaction;
  let deleted = 0;
  for (let left = budget; left > 0 && main <= compactRevision; left--) {
    const record = state.record(main, sub);
    deleted += clean(state, bytesToKey(record.kv.key), main, sub, record.tombstone && main < compactRevision);
    if (record.following > 0) sub++;
    else {
      main++;
      sub = 0;
    }
  }
  const done = main > compactRevision;
  save(state, {
    compactRevision,
    cursorMain: done ? Math.max(compactRevision, 2) : main,
    cursorSub: done ? 0 : sub,
    done,
  });
  return { done, deleted };
}

/** Deletes what a key had before this change, and the change itself if it is a tombstone that nobody can see. */
function clean(state: StoreState, key: string, main: Revision, sub: number, dropIt: boolean): number {
  const { index, backend, prefix } = state;
  const found = index.seek(key);
  assert(found, "a record's key is in the index", { main, sub });
  const older = index.prune(main);
  for (let i = 0; i < older.length; i += 2)
    backend.delete(recordKey(prefix, older[i] as number, Math.floor((older[i + 1] as number) / 2)));
  if (!dropIt) return older.length / 2;
  index.dropTombstone(main);
  backend.delete(recordKey(prefix, main, sub));
  return older.length / 2 + 1;
}

function save(state: StoreState, meta: CompactionMeta): void {
  state.compaction = meta;
  state.backend.put(compactionMetaKey(state.prefix), encodeCompactionMeta(meta));
}
