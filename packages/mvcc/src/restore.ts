import { assert, type LeaseId, type Revision } from "@keelson/types";
import { bytesToKey, keyToBytes } from "./bytes.ts";
import { decodeRecord, META_SPACE, parseRecordKey, type StoredRecord } from "./codec.ts";
import { CorruptValueError, MissingRevisionError } from "./errors.ts";
import { compactionMetaKey, currentMetaKey, decodeCompactionMeta, decodeCurrentMeta } from "./meta.ts";
import { StoreState } from "./state.ts";
import { MvccStore, type StoreOptions } from "./store.ts";

export interface RestoreResult {
  readonly store: MvccStore;
  /** The keys that have a lease, for the lessor to attach. */
  readonly leases: readonly { readonly key: Uint8Array; readonly lease: LeaseId }[];
}

/**
 * Rebuilds a store from a scan of its prefix, in key order, chunk by chunk. Checks on the way that every record is whole,
 * that no revision is missing, and at the end that the living keys hash to what was recorded with the last revision.
 *
 * The backend must answer `get` with the same data: two small meta records are read from it.
 */
export class MvccRestore {
  readonly #state: StoreState;
  readonly #leases = new Map<string, LeaseId>();
  readonly #expected: { revision: Revision; liveKeys: number; hashLow: number; hashHigh: number } | undefined;
  /** Where the next record must be; before the scrub's cursor, records may be missing. */
  #nextMain: Revision;
  #nextSub: number;

  constructor(options: StoreOptions) {
    const { backend, prefix } = options;
    this.#state = new StoreState(backend, prefix);
    const compaction = backend.get(compactionMetaKey(prefix));
    if (compaction !== undefined) this.#state.compaction = decodeCompactionMeta(compaction);
    const current = backend.get(currentMetaKey(prefix));
    this.#expected = current === undefined ? undefined : decodeCurrentMeta(current);
    this.#nextMain = this.#state.compaction.cursorMain;
    this.#nextSub = this.#state.compaction.cursorSub;
  }

  /**
   * Takes the next pairs of the scan. Keys outside the store's prefix are a mistake of the caller.
   *
   * @throws CorruptValueError, MissingRevisionError naming the revision
   */
  feed(chunk: readonly (readonly [Uint8Array, Uint8Array])[]): void {
    for (const [key, value] of chunk) {
      assert(key[0] === this.#state.prefix, "a restored key has the store's prefix", { key });
      if (key[1] === META_SPACE) continue;
      const { main, sub } = parseRecordKey(key);
      if (this.#expected === undefined)
        throw new MissingRevisionError("the current revision is not recorded", { main });
      const record = decodeRecord(key, value);
      this.#checkPosition(main, sub, record.following);
      this.#apply(main, sub, record);
    }
  }

  /** @throws MissingRevisionError, CorruptValueError if what was fed is not what was written last */
  finish(): RestoreResult {
    const state = this.#state;
    const expected = this.#expected;
    if (expected !== undefined) {
      state.revision = expected.revision;
      if (this.#nextMain !== expected.revision + 1 && this.#nextMain <= expected.revision)
        throw new MissingRevisionError(`revisions from ${this.#nextMain} on are missing`, { expected });
      const { low, high } = state.hash;
      const { liveKeys, hashLow, hashHigh } = expected;
      if (liveKeys !== state.index.live || hashLow !== low || hashHigh !== high)
        throw new CorruptValueError("the keys do not hash to what was recorded", { expected, keys: state.index.live });
    }
    const leases = [...this.#leases].map(([key, lease]) => ({ key: keyToBytes(key), lease }));
    return { store: new MvccStore(state), leases };
  }

  #checkPosition(main: Revision, sub: number, following: number): void {
    const { cursorMain, cursorSub } = this.#state.compaction;
    if (main < cursorMain || (main === cursorMain && sub < cursorSub)) return;
    if (main !== this.#nextMain || sub !== this.#nextSub)
      throw new MissingRevisionError(`revision ${this.#nextMain}/${this.#nextSub} is missing`, {
        found: { main, sub },
      });
    if (main > (this.#expected?.revision ?? 0))
      throw new CorruptValueError(`revision ${main} is later than the current one`, { expected: this.#expected });
    this.#nextMain = following > 0 ? main : main + 1;
    this.#nextSub = following > 0 ? sub + 1 : 0;
  }

  #apply(main: Revision, sub: number, record: StoredRecord): void {
    const { index, hash } = this.#state;
    const name = bytesToKey(record.kv.key);
    const found = index.seek(name);
    const before = found ? index.leaf.version(index.at) : 0;
    this.#checkSuccession(main, record, before);
    if (before > 0) hash.remove(index.leaf.crc(index.at));
    if (record.tombstone) {
      index.tombstone(name, found, main, sub);
      this.#leases.delete(name);
      return;
    }
    const { createRevision: create, version, lease } = record.kv;
    hash.add(record.bodyCrc);
    index.put(name, found, { main, sub, crc: record.bodyCrc, create, version, leased: lease !== 0n });
    if (lease === 0n) this.#leases.delete(name);
    else this.#leases.set(name, lease);
  }

  /**
   * A change takes its predecessor away only when a scrub visits it, so from the cursor's revision on predecessors are
   * present. (At that revision they may be gone: it is visited twice when a compaction follows another.)
   */
  #checkSuccession(main: Revision, record: StoredRecord, versionBefore: number): void {
    if (main <= this.#state.compaction.cursorMain) return;
    const { version } = record.kv;
    const follows = record.tombstone ? versionBefore > 0 : version === versionBefore + 1;
    if (!follows)
      throw new MissingRevisionError(`the change before revision ${main} is missing`, { main, version, versionBefore });
  }
}
