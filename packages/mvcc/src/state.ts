import type { CoreError, Revision } from "@keelson/types";
import type { MvccBackend } from "./backend.ts";
import { decodeRecord, recordKey, type StoredRecord } from "./codec.ts";
import { CorruptValueError, MissingRevisionError } from "./errors.ts";
import { KeyIndex } from "./key-index.ts";
import { type CompactionMeta, currentMetaKey } from "./meta.ts";
import { StateHash } from "./state-hash.ts";
import type { KeyValue } from "./types.ts";

/** What the parts of a store share. Not exported from the package. */
export class StoreState {
  readonly backend: MvccBackend;
  readonly prefix: number;
  /** Where the record of the current revision is. */
  readonly currentKey: Uint8Array;
  readonly index = new KeyIndex();
  readonly hash = new StateHash();
  /** The latest main revision. An empty store is at 1, its first write makes 2. */
  revision: Revision = 1;
  compaction: CompactionMeta = { compactRevision: 0, cursorMain: 2, cursorSub: 0, done: true };
  /** Puts of the write in progress (revision + 1) by sub-revision: not in the backend before it ends. */
  pending: (KeyValue | undefined)[] = [];
  /** Why the memory and the disk may disagree; set when a write failed half-way. */
  failure: CoreError | undefined;

  constructor(backend: MvccBackend, prefix: number) {
    this.backend = backend;
    this.prefix = prefix;
    this.currentKey = currentMetaKey(prefix);
  }

  /** The record of a change that must exist. @throws MissingRevisionError, CorruptValueError */
  record(main: Revision, sub: number): StoredRecord {
    const found = this.findRecord(main, sub);
    if (found === undefined) throw new MissingRevisionError(`no record of revision ${main}/${sub}`, { main, sub });
    return found;
  }

  findRecord(main: Revision, sub: number): StoredRecord | undefined {
    const key = recordKey(this.prefix, main, sub);
    const bytes = this.backend.get(key);
    return bytes === undefined ? undefined : decodeRecord(key, bytes);
  }

  /** The key and value that a put made, also one of the write in progress. */
  load(main: Revision, sub: number): KeyValue {
    if (main > this.revision) {
      const kv = this.pending[sub];
      if (kv !== undefined) return kv;
    }
    const { tombstone, kv } = this.record(main, sub);
    if (tombstone)
      throw new CorruptValueError(`a delete at revision ${main}/${sub} where a put must be`, { main, sub });
    return kv;
  }

  /** Refuses to go on after a write that failed half-way: the process restarts and restores from disk. */
  checkUsable(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}
