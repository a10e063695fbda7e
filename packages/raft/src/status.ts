import { hexId, type MemberId } from "@keelson/types";
import type { Raft } from "./raft.ts";
import type { ProgressState } from "./tracker/progress.ts";
import type { TrackerConfig } from "./tracker/tracker.ts";
import type { HardState, RaftState } from "./types.ts";

/** A glance at a node; cheap. */
export interface BasicStatus extends HardState {
  readonly id: MemberId;
  readonly lead: MemberId;
  readonly raftState: RaftState;
  readonly applied: number;
  readonly leadTransferee: MemberId;
}

/** A leader's view of one member, copied. */
export interface ProgressStatus {
  readonly match: number;
  readonly next: number;
  readonly state: ProgressState;
  readonly pendingSnapshot: number;
  readonly recentActive: boolean;
  readonly paused: boolean;
  readonly isLearner: boolean;
  readonly inflightCount: number;
  readonly inflightBytes: number;
  readonly inflightFull: boolean;
}

/** Everything worth showing. `progress` is empty except on a leader. */
export interface Status extends BasicStatus {
  readonly config: TrackerConfig;
  readonly progress: ReadonlyMap<MemberId, ProgressStatus>;
}

/** The glance of a node. */
export function basicStatus(r: Raft): BasicStatus {
  return {
    id: r.id,
    term: r.term,
    vote: r.vote,
    commit: r.log.committed,
    lead: r.lead,
    raftState: r.state,
    applied: r.log.applied,
    leadTransferee: r.leadTransferee,
  };
}

/** The full status of a node. */
export function fullStatus(r: Raft): Status {
  const progress = new Map<MemberId, ProgressStatus>();
  if (r.state === "StateLeader") {
    r.tracker.visit((id, pr) => {
      progress.set(id, {
        match: pr.match,
        next: pr.next,
        state: pr.state,
        pendingSnapshot: pr.pendingSnapshot,
        recentActive: pr.recentActive,
        paused: pr.paused,
        isLearner: pr.isLearner,
        inflightCount: pr.inflights.count,
        inflightBytes: pr.inflights.bytes,
        inflightFull: pr.inflights.full,
      });
    });
  }
  // Configurations are replaced, never changed, so this one can be shared.
  return { ...basicStatus(r), config: r.tracker.config, progress };
}

/** A member's progress as upstream prints it: `StateReplicate match=11 next=12 inactive`. */
export function describeProgress(pr: ProgressStatus): string {
  let s = `${pr.state} match=${pr.match} next=${pr.next}`;
  if (pr.isLearner) s += " learner";
  if (pr.paused) s += " paused";
  if (pr.pendingSnapshot > 0) s += ` pendingSnap=${pr.pendingSnapshot}`;
  if (!pr.recentActive) s += " inactive";
  if (pr.inflightCount > 0) s += ` inflight=${pr.inflightCount}${pr.inflightFull ? "[full]" : ""}`;
  return s;
}

/** The status as one JSON object, with ids in hex, as upstream serves it. */
export function statusJson(s: Status): string {
  const progress = Object.fromEntries(
    [...s.progress].map(([id, pr]) => [hexId(id), { match: pr.match, next: pr.next, state: pr.state }]),
  );
  return JSON.stringify({
    id: hexId(s.id),
    term: s.term,
    vote: hexId(s.vote),
    commit: s.commit,
    lead: hexId(s.lead),
    raftState: s.raftState,
    applied: s.applied,
    progress,
    leadtransferee: hexId(s.leadTransferee),
  });
}
