import type { LeaseId, Revision } from "@keelson/types";

/** A key with the value it had at `modRevision`. The byte arrays may share memory with the backend: never write to them. */
export interface KeyValue {
  readonly key: Uint8Array;
  /** Main revision of the put that created the key (after its last delete). */
  readonly createRevision: Revision;
  /** Main revision of the last change. */
  readonly modRevision: Revision;
  /** Number of puts since creation; 1 for a new key, 0 in the event of a delete. */
  readonly version: number;
  readonly value: Uint8Array;
  /** 0n means none. */
  readonly lease: LeaseId;
}

/**
 * One change. The same object goes to the response of the write and to every watcher, so `encoded` and
 * `encodedWithPrev` are slots in which a service may keep its wire form: it then encodes an event once.
 */
export interface MvccEvent {
  readonly type: "put" | "delete";
  /** Of a delete, only `key` and `modRevision` are filled. */
  readonly kv: KeyValue;
  /** `bytesToKey(kv.key)`: for maps and comparisons. */
  readonly name: string;
  /** The key before the change. Filled when the write or a watcher asked for it, and when it existed. */
  prevKv?: KeyValue;
  /** Whether `prevKv` was looked up: it may stay absent because there was no such key. */
  prevKnown: boolean;
  /** The lease the key was attached to before (0n none) and is attached to now: what a lessor needs. */
  readonly oldLease: LeaseId;
  readonly newLease: LeaseId;
  /** Approximate bytes of the event on the wire, without `prevKv`. */
  readonly bytes: number;
  encoded?: unknown;
  encodedWithPrev?: unknown;
}

/** All changes of one main revision, in sub-revision order. The unit of atomicity of a watch. */
export interface RevisionEvents {
  readonly revision: Revision;
  readonly events: readonly MvccEvent[];
  /** Sum of the events' bytes. */
  readonly bytes: number;
}

export type SortOrder = "none" | "ascend" | "descend";
export type SortTarget = "key" | "version" | "create" | "mod" | "value";

/** Options of {@link MvccStore.range}; etcd's RangeRequest with plain names. Absent or 0 means off. */
export interface RangeOptions {
  readonly key: Uint8Array;
  /** Absent or empty: the single key. `"\0"`: every key from `key`. Both `"\0"`: everything. */
  readonly end?: Uint8Array | undefined;
  /** Most kvs to return; 0 is no limit. */
  readonly limit?: number;
  /** Read as of this main revision; 0 (or less) is the latest. */
  readonly revision?: Revision;
  readonly sortOrder?: SortOrder;
  readonly sortTarget?: SortTarget;
  /** Values are empty, and leases 0n as in etcd 3.7 (which answers from its index). */
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly minModRevision?: Revision;
  readonly maxModRevision?: Revision;
  readonly minCreateRevision?: Revision;
  readonly maxCreateRevision?: Revision;
}

export interface RangeResult {
  readonly kvs: readonly KeyValue[];
  /** Keys in the range at that revision, whatever the limit and the filters. */
  readonly count: number;
  /** Whether the limit cut something off. */
  readonly more: boolean;
  /** The store's revision (for the response header), not the one that was read. */
  readonly revision: Revision;
}

export interface PutOptions {
  readonly key: Uint8Array;
  /** Ignored with `ignoreValue`. */
  readonly value: Uint8Array;
  /** 0n detaches. Ignored with `ignoreLease`. */
  readonly lease?: LeaseId;
  readonly prevKv?: boolean;
  /** Keep the key's value or lease; the key must exist ({@link KeyNotFoundError}). */
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

export interface DeleteRangeOptions {
  readonly key: Uint8Array;
  readonly end?: Uint8Array | undefined;
  readonly prevKv?: boolean;
}

/** What every write reports beside its own result. */
export interface WriteResult {
  /** The store's revision after the write (unchanged if nothing was changed). */
  readonly revision: Revision;
  /** What changed: empty, or all the events of `revision`. Hand it to `WatchHub.notify` and to the lessor. */
  readonly changes: RevisionEvents | undefined;
}

export interface PutResult extends WriteResult {
  readonly prevKv: KeyValue | undefined;
}

export interface DeleteRangeResult extends WriteResult {
  readonly deleted: number;
  /** In key order; empty unless `prevKv` was asked. */
  readonly prevKvs: readonly KeyValue[];
}

/** `any` always holds and `never` does not: what etcd makes of a result, or a target, that it does not know. */
export type CompareResult = "equal" | "greater" | "less" | "notEqual" | "any" | "never";

/** One condition of a txn. With `end`, every key of the range must satisfy it; a missing key counts as all zero. */
export type Compare = {
  readonly key: Uint8Array;
  readonly end?: Uint8Array | undefined;
  readonly result: CompareResult;
} & (
  | { readonly target: "version" | "create" | "mod"; readonly operand: number }
  | { readonly target: "lease"; readonly operand: LeaseId }
  /** False for a missing key, whatever `result` says. */
  | { readonly target: "value"; readonly operand: Uint8Array }
);

export type TxnOp =
  | { readonly type: "range"; readonly range: RangeOptions }
  | { readonly type: "put"; readonly put: PutOptions }
  | { readonly type: "deleteRange"; readonly deleteRange: DeleteRangeOptions }
  | { readonly type: "txn"; readonly txn: Txn };

/** If all of `compare` hold then `success` else `failure`. */
export interface Txn {
  readonly compare: readonly Compare[];
  readonly success: readonly TxnOp[];
  readonly failure: readonly TxnOp[];
}

export type TxnOpResult =
  | { readonly type: "range"; readonly result: RangeResult }
  | { readonly type: "put"; readonly revision: Revision; readonly prevKv: KeyValue | undefined }
  | {
      readonly type: "deleteRange";
      readonly revision: Revision;
      readonly deleted: number;
      readonly prevKvs: readonly KeyValue[];
    }
  | {
      readonly type: "txn";
      readonly revision: Revision;
      readonly succeeded: boolean;
      readonly results: readonly TxnOpResult[];
    };

export interface TxnResult extends WriteResult {
  readonly succeeded: boolean;
  readonly results: readonly TxnOpResult[];
}

/** Checks that the caller makes part of a write: they run before anything is changed. */
export interface WriteChecks {
  /** Whether a lease exists. Without it every lease id is accepted. A false answer raises {@link LeaseNotFoundError}. */
  readonly leaseExists?: (lease: LeaseId) => boolean;
}

export interface HashResult {
  /** CRC32C, unsigned. Members with equal history and equal compact revision have equal hashes. */
  readonly hash: number;
  readonly hashRevision: Revision;
  readonly compactRevision: Revision;
}
