import type { ConfState, Entry, HardState, Snapshot } from "./types.ts";

/** Why an index cannot be read: older than the log, or newer. */
export type IndexGap = "compacted" | "unavailable";

/**
 * What Raft reads back from this node's stable storage. Everything is synchronous, as the algorithm cannot wait.
 * A storage failure is thrown, and ends the node.
 */
export interface RaftStorage {
  /** The hard state and membership saved last; no hard state on a new node. */
  initialState(): { readonly hardState: HardState | undefined; readonly confState: ConfState };
  /** The first index whose entry is there; one above the snapshot on a fresh or compacted log. */
  firstIndex(): number;
  /** The last index; `firstIndex() - 1` when there are no entries. */
  lastIndex(): number;
  /** The term of entry `index`, which may also be `firstIndex() - 1`: its term outlives the entry. */
  term(index: number): number | IndexGap;
  /**
   * Entries of `[lo, hi)`, fewer when they would exceed `maxBytes` (in raftpb encoding), but at least one.
   * Neither side writes to the array afterwards.
   */
  entries(lo: number, hi: number, maxBytes: number): readonly Entry[] | IndexGap;
  /** The newest snapshot, to bring a follower up to date. Raft asks again later if it is being made. */
  snapshot(): Snapshot | "temporarily-unavailable";
}
