import type { MemberId } from "@keelson/types";
import type { ConfChangeSingle } from "../conf-change.ts";
import { ConfChangeError } from "../errors.ts";
import { jointIds } from "../quorum/joint.ts";
import { Inflights } from "../tracker/inflights.ts";
import { Progress } from "../tracker/progress.ts";
import { EMPTY_TRACKER_CONFIG, type ProgressMap, type TrackerConfig } from "../tracker/tracker.ts";

/** What a change starts from, and what it ends in. */
export interface Membership {
  readonly config: TrackerConfig;
  readonly progress: ProgressMap;
}

/** Where every membership starts. */
export const EMPTY_MEMBERSHIP: Membership = { config: EMPTY_TRACKER_CONFIG, progress: new Map() };

/** The same as {@link Membership}, open for changes. */
interface Draft {
  readonly incoming: Set<MemberId>;
  readonly outgoing: Set<MemberId>;
  readonly learners: Set<MemberId>;
  readonly learnersNext: Set<MemberId>;
  readonly progress: Map<MemberId, Progress>;
  autoLeave: boolean;
}

/** What new members start with. */
export interface ChangerLimits {
  /** The last index of the leader's log: where new members are probed first. */
  readonly lastIndex: number;
  readonly maxInflight: number;
  readonly maxInflightBytes: number;
}

/**
 * Computes the membership that follows from a change, or refuses it. Never touches what it was given
 * (upstream: confchange/confchange.go; Raft thesis chapter 4).
 */
export class Changer {
  readonly #from: Membership;
  readonly #limits: ChangerLimits;

  constructor(from: Membership, limits: ChangerLimits) {
    this.#from = from;
    this.#limits = limits;
  }

  /** From `(1 2 3)` to `(changed)&&(1 2 3)`. @throws ConfChangeError */
  enterJoint(autoLeave: boolean, changes: readonly ConfChangeSingle[]): Membership {
    const d = this.#draft();
    if (d.outgoing.size > 0) throw new ConfChangeError("config is already joint");
    if (d.incoming.size === 0) throw new ConfChangeError("can't make a zero-voter config joint");
    for (const id of d.incoming) d.outgoing.add(id);
    this.#apply(d, changes);
    d.autoLeave = autoLeave;
    return seal(d);
  }

  /** From `(new)&&(old)` to `(new)`; members of neither, and not learners, are forgotten. @throws ConfChangeError */
  leaveJoint(): Membership {
    const d = this.#draft();
    if (d.outgoing.size === 0) throw new ConfChangeError("can't leave a non-joint config");
    for (const id of d.learnersNext) {
      d.learners.add(id);
      const pr = d.progress.get(id);
      if (pr !== undefined) pr.isLearner = true;
    }
    d.learnersNext.clear();
    for (const id of d.outgoing) {
      if (!d.incoming.has(id) && !d.learners.has(id)) d.progress.delete(id);
    }
    d.outgoing.clear();
    d.autoLeave = false;
    return seal(d);
  }

  /** Changes at most one voter, without a joint configuration. @throws ConfChangeError */
  simple(changes: readonly ConfChangeSingle[]): Membership {
    const d = this.#draft();
    if (d.outgoing.size > 0) throw new ConfChangeError("can't apply simple config change in joint config");
    this.#apply(d, changes);
    if (this.#from.config.voters[0].symmetricDifference(d.incoming).size > 1) {
      throw new ConfChangeError("more than one voter changed without entering joint config");
    }
    return seal(d);
  }

  #draft(): Draft {
    const { config, progress } = this.#from;
    checkInvariants(this.#from);
    return {
      incoming: new Set(config.voters[0]),
      outgoing: new Set(config.voters[1]),
      learners: new Set(config.learners),
      learnersNext: new Set(config.learnersNext),
      progress: new Map([...progress].map(([id, pr]) => [id, pr.copy()])),
      autoLeave: config.autoLeave,
    };
  }

  #apply(d: Draft, changes: readonly ConfChangeSingle[]): void {
    for (const { type, nodeId } of changes) {
      // etcd zeroes the id of a change that it decided not to carry out.
      if (nodeId === 0n) continue;
      switch (type) {
        case "ConfChangeAddNode":
          this.#makeVoter(d, nodeId);
          break;
        case "ConfChangeAddLearnerNode":
          this.#makeLearner(d, nodeId);
          break;
        case "ConfChangeRemoveNode":
          remove(d, nodeId);
          break;
        case "ConfChangeUpdateNode":
          break;
      }
    }
    if (d.incoming.size === 0) throw new ConfChangeError("removed all voters");
  }

  #makeVoter(d: Draft, id: MemberId): void {
    d.incoming.add(id);
    d.learners.delete(id);
    d.learnersNext.delete(id);
    const pr = d.progress.get(id);
    if (pr === undefined) this.#track(d, id, false);
    else pr.isLearner = false;
  }

  #makeLearner(d: Draft, id: MemberId): void {
    const pr = d.progress.get(id);
    if (pr === undefined) {
      d.learners.add(id);
      this.#track(d, id, true);
      return;
    }
    if (pr.isLearner) return;
    remove(d, id);
    d.progress.set(id, pr);
    // A voter of the outgoing half cannot be a learner at the same time, so it becomes one when that half goes.
    if (d.outgoing.has(id)) {
      d.learnersNext.add(id);
    } else {
      pr.isLearner = true;
      d.learners.add(id);
    }
  }

  #track(d: Draft, id: MemberId, isLearner: boolean): void {
    const { lastIndex, maxInflight, maxInflightBytes } = this.#limits;
    const pr = new Progress(0, Math.max(lastIndex, 1), new Inflights(maxInflight, maxInflightBytes), isLearner);
    // Counted as alive, or the next check of the quorum could fail before the member had a chance to speak.
    pr.recentActive = true;
    d.progress.set(id, pr);
  }
}

function remove(d: Draft, id: MemberId): void {
  if (!d.progress.has(id)) return;
  d.incoming.delete(id);
  d.learners.delete(id);
  d.learnersNext.delete(id);
  if (!d.outgoing.has(id)) d.progress.delete(id);
}

function seal(d: Draft): Membership {
  const { incoming, outgoing, learners, learnersNext, autoLeave, progress } = d;
  const sealed = { config: { voters: [incoming, outgoing] as const, learners, learnersNext, autoLeave }, progress };
  checkInvariants(sealed);
  return sealed;
}

/** Throws when roles and progress do not fit each other; texts follow upstream. */
function checkInvariants({ config, progress }: Membership): void {
  const [incoming, outgoing] = config.voters;
  const refuse = (why: string): never => {
    throw new ConfChangeError(why);
  };
  for (const ids of [jointIds(config.voters), config.learners, config.learnersNext]) {
    for (const id of ids) if (!progress.has(id)) refuse(`no progress for ${id}`);
  }
  for (const id of config.learnersNext) {
    if (!outgoing.has(id)) refuse(`${id} is in LearnersNext, but not Voters[1]`);
    if (progress.get(id)?.isLearner === true) refuse(`${id} is in LearnersNext, but is already marked as learner`);
  }
  for (const id of config.learners) {
    if (outgoing.has(id)) refuse(`${id} is in Learners and Voters[1]`);
    if (incoming.has(id)) refuse(`${id} is in Learners and Voters[0]`);
    if (progress.get(id)?.isLearner !== true) refuse(`${id} is in Learners, but is not marked as learner`);
  }
  if (outgoing.size === 0) {
    if (config.learnersNext.size > 0) refuse("cfg.LearnersNext must be nil when not joint");
    if (config.autoLeave) refuse("AutoLeave must be false when not joint");
  }
}
