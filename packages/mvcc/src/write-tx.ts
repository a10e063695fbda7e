import type { LeaseId, Revision } from "@keelson/types";
import { bytesToKey, EMPTY_BYTES, keyToBytes } from "./bytes.ts";
import { assertSub, type EncodedRecord, encodePut, encodeTombstone, recordKey, setFollowing } from "./codec.ts";
import { keyRange } from "./key-range.ts";
import { encodeCurrentMeta } from "./meta.ts";
import { executeRange } from "./range.ts";
import type { StoreState } from "./state.ts";
import type {
  DeleteRangeOptions,
  KeyValue,
  MvccEvent,
  PutOptions,
  RangeOptions,
  RangeResult,
  RevisionEvents,
} from "./types.ts";

/**
 * One write: every change gets the next sub-revision of `revision + 1`. The index changes at once, so that reads of
 * this write see earlier changes of it; records go to the backend in {@link commit}, because each says how many follow.
 * Checks are the caller's: nothing here refuses.
 */
export class WriteTx {
  readonly #state: StoreState;
  readonly #main: Revision;
  readonly #records: EncodedRecord[] = [];
  readonly #events: MvccEvent[] = [];
  #bytes = 0;

  constructor(state: StoreState) {
    this.#state = state;
    this.#main = state.revision + 1;
  }

  /** The revision that the next answer's header shows: raised as soon as something changed. */
  get revision(): Revision {
    return this.#events.length > 0 ? this.#main : this.#main - 1;
  }

  range(options: RangeOptions): RangeResult {
    return executeRange(this.#state, options, this.revision);
  }

  /** Returns the key as it was before, if asked and if it existed. */
  put(options: PutOptions): KeyValue | undefined {
    const { index } = this.#state;
    const name = bytesToKey(options.key);
    const found = index.seek(name);
    const { leaf, at } = index;
    const version = found ? leaf.version(at) : 0;
    const exists = version > 0;
    const wantsOld = options.prevKv || options.ignoreValue || (exists && leaf.leased(at));
    const old = exists && wantsOld ? this.#state.load(leaf.mod(at), leaf.sub(at)) : undefined;
    const create = exists ? leaf.create(at) : this.#main;
    const lease = options.ignoreLease ? (old?.lease ?? 0n) : (options.lease ?? 0n);
    const value = options.ignoreValue && old !== undefined ? old.value : options.value;
    const sub = this.#records.length;
    assertSub(sub);
    const { key } = options;
    const kv = { key, createRevision: create, modRevision: this.#main, version: version + 1, value, lease };
    const recordAt = recordKey(this.#state.prefix, this.#main, sub);
    const record = encodePut(recordAt, kv);
    this.#records.push(record);
    if (exists) this.#state.hash.remove(leaf.crc(at));
    this.#state.hash.add(record.bodyCrc);
    const leased = lease !== 0n;
    index.put(name, found, { main: this.#main, sub, crc: record.bodyCrc, create, version: version + 1, leased });
    this.#state.pending[sub] = kv;
    this.#event("put", name, kv, old, options.prevKv === true || !exists, old?.lease ?? 0n);
    return options.prevKv ? old : undefined;
  }

  /** Deletes what exists of a range, in key order. */
  deleteRange(options: DeleteRangeOptions): { deleted: number; prevKvs: KeyValue[] } {
    const names: string[] = [];
    const visible = this.#main;
    this.#state.index.walk(keyRange(options.key, options.end), visible, (leaf, at) => {
      names.push(leaf.keys[at] as string);
    });
    const prevKvs: KeyValue[] = [];
    for (const name of names) {
      const old = this.deleteKey(name, options.prevKv === true);
      if (options.prevKv && old !== undefined) prevKvs.push(old);
    }
    return { deleted: names.length, prevKvs };
  }

  /** Deletes one key if it exists. Returns it as it was, if asked. */
  deleteKey(name: string, prevKv: boolean): KeyValue | undefined {
    const { index } = this.#state;
    const found = index.seek(name);
    const { leaf, at } = index;
    if (!found || leaf.version(at) === 0) return undefined;
    const old = prevKv || leaf.leased(at) ? this.#state.load(leaf.mod(at), leaf.sub(at)) : undefined;
    const sub = this.#records.length;
    const key = keyToBytes(name);
    this.#records.push(encodeTombstone(recordKey(this.#state.prefix, this.#main, sub), key));
    this.#state.hash.remove(leaf.crc(at));
    index.tombstone(name, true, this.#main, sub);
    const kv = { key, createRevision: 0, modRevision: this.#main, version: 0, value: EMPTY_BYTES, lease: 0n };
    this.#event("delete", name, kv, old, prevKv, old?.lease ?? 0n);
    return old;
  }

  /** Writes everything and makes the revision current, unless nothing was changed. */
  commit(): RevisionEvents | undefined {
    const count = this.#records.length;
    this.#state.pending = [];
    if (count === 0) return undefined;
    const { backend, hash, index, currentKey } = this.#state;
    for (let i = 0; i < count; i++) {
      const { key, bytes, bodyCrc } = this.#records[i] as EncodedRecord;
      if (i < count - 1) setFollowing(bytes, bodyCrc, count - 1 - i);
      backend.put(key, bytes);
    }
    this.#state.revision = this.#main;
    const meta = { revision: this.#main, liveKeys: index.live, hashLow: hash.low, hashHigh: hash.high };
    backend.put(currentKey, encodeCurrentMeta(meta));
    return { revision: this.#main, events: this.#events, bytes: this.#bytes };
  }

  #event(
    type: "put" | "delete",
    name: string,
    kv: KeyValue,
    prevKv: KeyValue | undefined,
    prevKnown: boolean,
    oldLease: LeaseId,
  ): void {
    const event = makeEvent(type, name, kv, oldLease);
    if (prevKnown || prevKv !== undefined) {
      event.prevKnown = true;
      if (prevKv !== undefined) event.prevKv = prevKv;
    }
    this.#events.push(event);
    this.#bytes += event.bytes;
  }
}

/** Rough wire overhead of an event beside key and value. */
const EVENT_OVERHEAD = 32;

export function makeEvent(type: "put" | "delete", name: string, kv: KeyValue, oldLease: LeaseId): MvccEvent {
  const bytes = kv.key.length + kv.value.length + EVENT_OVERHEAD;
  const slots = { encoded: undefined, encodedWithPrev: undefined };
  return { type, kv, name, prevKnown: false, oldLease, newLease: kv.lease, bytes, ...slots };
}
