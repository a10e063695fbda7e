import { AssertionError, CoreError } from "@keelson/types";

/** A {@link RaftConfig} that cannot work; the text names the field. */
export class RaftConfigError extends CoreError<"ERR_RAFT_CONFIG"> {
  readonly code = "ERR_RAFT_CONFIG";
}

/** Bytes that are not what they should be. `details.offset` is where reading stopped. */
export class RaftDecodeError extends CoreError<"ERR_RAFT_DECODE"> {
  readonly code = "ERR_RAFT_DECODE";
}

/** A membership change that is not legal on the current configuration; nothing was changed. Texts follow upstream. */
export class ConfChangeError extends CoreError<"ERR_RAFT_CONF_CHANGE"> {
  readonly code = "ERR_RAFT_CONF_CHANGE";
}

/** The index lies before the first one kept. */
export class CompactedError extends CoreError<"ERR_RAFT_COMPACTED"> {
  readonly code = "ERR_RAFT_COMPACTED";
  constructor(index: number, firstIndex: number) {
    super("requested index is unavailable due to compaction", { index, firstIndex });
  }
}

/** A snapshot at least as new is there already. */
export class SnapshotOutOfDateError extends CoreError<"ERR_RAFT_SNAPSHOT_OUT_OF_DATE"> {
  readonly code = "ERR_RAFT_SNAPSHOT_OUT_OF_DATE";
  constructor(index: number, existing: number) {
    super("requested index is older than the existing snapshot", { index, existing });
  }
}

/** A call that the node's mode or state does not allow, such as `bootstrap` on a node that has a log. */
export class RaftUsageError extends CoreError<"ERR_RAFT_USAGE"> {
  readonly code = "ERR_RAFT_USAGE";
}

/** Ends the node on a broken invariant. Continuing could lose committed entries, so nobody may catch this. */
export function broken(message: string): never {
  throw new AssertionError(`invariant broken: ${message}`);
}
