import { assert, CoreError, type Revision } from "@keelson/types";
import type { MvccBackend } from "./backend.ts";
import { bytesToKey } from "./bytes.ts";
import { scheduleCompaction, scrub } from "./compaction.ts";
import { eventsSince, fillPrevKv, type HistoryOptions } from "./history.ts";
import { KvHashTask } from "./kv-hash.ts";
import { executeRange } from "./range.ts";
import { StoreState } from "./state.ts";
import { checkPut, planTxn, runTxn } from "./txn.ts";
import type {
  DeleteRangeOptions,
  DeleteRangeResult,
  HashResult,
  MvccEvent,
  PutOptions,
  PutResult,
  RangeOptions,
  RangeResult,
  RevisionEvents,
  Txn,
  TxnResult,
  WriteChecks,
} from "./types.ts";
import { WriteTx } from "./write-tx.ts";

export interface StoreOptions {
  readonly backend: MvccBackend;
  /** The first byte of every backend key that the store uses: 0 to 255. */
  readonly prefix: number;
}

/**
 * A multi-version key-value store: etcd's model, as a deterministic core. The same calls in the same order give the same
 * store on every member.
 *
 * Every method is synchronous. What one call writes, the caller makes durable as one atomic batch. The constructor makes
 * an empty store; `MvccRestore` makes one from what is on disk.
 */
export class MvccStore {
  readonly #state: StoreState;

  constructor(options: StoreOptions | StoreState) {
    if (!(options instanceof StoreState)) {
      const { prefix } = options;
      assert(Number.isInteger(prefix) && prefix >= 0 && prefix <= 255, "the prefix is one byte", { prefix });
    }
    this.#state = options instanceof StoreState ? options : new StoreState(options.backend, options.prefix);
  }

  /** The latest main revision; 1 when empty. */
  get revision(): Revision {
    return this.#state.revision;
  }

  /** The lowest revision that can be read; 0 before the first compaction. */
  get compactRevision(): Revision {
    return this.#state.compaction.compactRevision;
  }

  /** Whether {@link scrub} has work. */
  get scrubbing(): boolean {
    return !this.#state.compaction.done;
  }

  /** Keys at the latest revision. */
  get keys(): number {
    return this.#state.index.live;
  }

  /** @throws FutureRevisionError, CompactedError, CorruptValueError */
  range(options: RangeOptions): RangeResult {
    this.#state.checkUsable();
    return executeRange(this.#state, options, this.#state.revision);
  }

  /** @throws KeyNotFoundError (`ignoreValue`, `ignoreLease`), LeaseNotFoundError */
  put(options: PutOptions, checks: WriteChecks = {}): PutResult {
    checkPut(this.#state, options, checks);
    const { result: prevKv, changes } = this.#write((tx) => tx.put(options));
    return { revision: this.revision, prevKv, changes };
  }

  /** Deletes a range in one revision; deleting nothing changes nothing. */
  deleteRange(options: DeleteRangeOptions): DeleteRangeResult {
    const { result, changes } = this.#write((tx) => tx.deleteRange(options));
    return { revision: this.revision, ...result, changes };
  }

  /** Deletes those of `keys` that exist, in byte order, in one revision: what the end of a lease does. */
  deleteKeys(keys: Iterable<Uint8Array>): DeleteRangeResult {
    const names = [...new Set([...keys].map(bytesToKey))].sort((a, b) => (a < b ? -1 : 1));
    const { changes } = this.#write((tx) => {
      for (const name of names) tx.deleteKey(name, false);
    });
    return { revision: this.revision, deleted: changes?.events.length ?? 0, prevKvs: [], changes };
  }

  /**
   * Compares and runs one branch. Compares of nested txns are evaluated first, too, on the state before; all changes
   * share one revision; a range sees earlier operations; nothing is changed if this throws a refusal.
   *
   * @throws KeyNotFoundError, LeaseNotFoundError, DuplicateKeyError, FutureRevisionError, CompactedError
   */
  txn(txn: Txn, checks: WriteChecks = {}): TxnResult {
    this.#state.checkUsable();
    const planned = planTxn(this.#state, txn, checks);
    const { result: results, changes } = this.#write((tx) => runTxn(tx, planned));
    return { revision: this.revision, succeeded: planned.succeeded, results, changes };
  }

  /** Makes everything below `revision` unreadable at once; {@link scrub} then deletes it in steps. */
  compact(revision: Revision): void {
    this.#state.checkUsable();
    scheduleCompaction(this.#state, revision);
  }

  /** Looks at `budget` records at most. Call it in batches of its own, between other work, until done. */
  scrub(budget: number): { done: boolean; deleted: number } {
    this.#state.checkUsable();
    return this.#guard(() => scrub(this.#state, budget));
  }

  /** @throws CompactedError if `start` is below the compact revision */
  eventsSince(start: Revision, options: HistoryOptions = {}): RevisionEvents[] {
    this.#state.checkUsable();
    return eventsSince(this.#state, start, options);
  }

  /** Looks up an event's `prevKv`, unless that was done. It stays absent if compacted meanwhile, as in etcd. */
  fillPrevKv(event: MvccEvent): void {
    fillPrevKv(this.#state, event);
  }

  /** Hashes the stored records up to `revision` (0: latest) in one go: reads them all. */
  hashKv(revision: Revision = 0): HashResult {
    return new KvHashTask(this.#state, revision).step(Number.POSITIVE_INFINITY) as HashResult;
  }

  /** As {@link hashKv}, in steps. */
  startHashKv(revision: Revision = 0): KvHashTask {
    return new KvHashTask(this.#state, revision);
  }

  /** A hash of the living keys, kept up to date with every write: members at the same revision must agree. */
  stateHash(): { revision: Revision; hash: string; keys: number } {
    return { revision: this.revision, hash: this.#state.hash.toString(), keys: this.keys };
  }

  #write<T>(run: (tx: WriteTx) => T): { result: T; changes: RevisionEvents | undefined } {
    this.#state.checkUsable();
    return this.#guard(() => {
      const tx = new WriteTx(this.#state);
      const result = run(tx);
      return { result, changes: tx.commit() };
    });
  }

  /** A write that fails half-way has changed the index but not the disk: no later call may build on that. */
  #guard<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      this.#state.failure = error instanceof CoreError ? error : new StoreFailedError({ cause: error });
      throw error;
    }
  }
}

/** The backend failed during a write. The store refuses all work: restart and restore it from disk. */
export class StoreFailedError extends CoreError<"ERR_STORE_FAILED"> {
  readonly code = "ERR_STORE_FAILED";

  constructor(options?: { cause?: unknown }) {
    super("the key-value store failed during a write and must be restored from disk", {}, options);
  }
}
