import { CoreError, type ErrorDetails, type LeaseId, type Revision } from "@keelson/types";

/** The refusals of a store. `etcdText` is the text with which etcd answers a client, to the letter. */
export type MvccError =
  | CompactedError
  | FutureRevisionError
  | KeyNotFoundError
  | LeaseNotFoundError
  | DuplicateKeyError;

/** A read, watch or compaction at a revision below the compaction. */
export class CompactedError extends CoreError<"ERR_COMPACTED"> {
  readonly code = "ERR_COMPACTED";
  readonly etcdText = "etcdserver: mvcc: required revision has been compacted";
  /** The lowest revision that can still be read. */
  readonly compactRevision: Revision;

  constructor(revision: Revision, compactRevision: Revision) {
    super("mvcc: required revision has been compacted", { revision, compactRevision });
    this.compactRevision = compactRevision;
  }
}

/** A read or compaction at a revision that the store has not reached. */
export class FutureRevisionError extends CoreError<"ERR_FUTURE_REVISION"> {
  readonly code = "ERR_FUTURE_REVISION";
  readonly etcdText = "etcdserver: mvcc: required revision is a future revision";

  constructor(revision: Revision, current: Revision) {
    super("mvcc: required revision is a future revision", { revision, current });
  }
}

/** A put with `ignoreValue` or `ignoreLease` of a key that does not exist. */
export class KeyNotFoundError extends CoreError<"ERR_KEY_NOT_FOUND"> {
  readonly code = "ERR_KEY_NOT_FOUND";
  readonly etcdText = "etcdserver: key not found";

  constructor(key: Uint8Array) {
    super("key not found", { key });
  }
}

/** A put with a lease that the caller's `leaseExists` does not know. */
export class LeaseNotFoundError extends CoreError<"ERR_LEASE_NOT_FOUND"> {
  readonly code = "ERR_LEASE_NOT_FOUND";
  readonly etcdText = "etcdserver: requested lease not found";

  constructor(lease: LeaseId) {
    super("requested lease not found", { lease });
  }
}

/** A transaction that could change one key twice. */
export class DuplicateKeyError extends CoreError<"ERR_DUPLICATE_KEY"> {
  readonly code = "ERR_DUPLICATE_KEY";
  readonly etcdText = "etcdserver: duplicate key given in txn request";

  constructor(key: Uint8Array) {
    super("duplicate key given in txn request", { key });
  }
}

/** A stored record that fails its checksum or cannot be decoded: name it, stop, restore the member from another. */
export class CorruptValueError extends CoreError<"ERR_CORRUPT_VALUE"> {
  readonly code = "ERR_CORRUPT_VALUE";

  constructor(what: string, details: ErrorDetails) {
    super(`corrupt record in the key space: ${what}`, details);
  }
}

/** Records that the history says must exist are absent, or the restored state differs from the recorded hash. */
export class MissingRevisionError extends CoreError<"ERR_MISSING_REVISION"> {
  readonly code = "ERR_MISSING_REVISION";

  constructor(what: string, details: ErrorDetails) {
    super(`gap in the key space: ${what}`, details);
  }
}
