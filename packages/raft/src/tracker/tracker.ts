import type { MemberId } from "@keelson/types";
import { describeJoint, type JointVoters, jointIds, jointVote } from "../quorum/joint.ts";
import { describeVoters, majorityOf, sortedIds, type VoteResult, type VoterSet } from "../quorum/majority.ts";
import type { ConfState } from "../types.ts";
import { Inflights } from "./inflights.ts";
import type { Progress } from "./progress.ts";

/** The active membership. Learners never overlap voters of either half; `learnersNext` are voters of the outgoing half. */
export interface TrackerConfig {
  readonly voters: JointVoters;
  readonly learners: VoterSet;
  readonly learnersNext: VoterSet;
  readonly autoLeave: boolean;
}

/** What a leader tracks of each member. */
export type ProgressMap = ReadonlyMap<MemberId, Progress>;

/** A membership of nobody. */
export const EMPTY_TRACKER_CONFIG: TrackerConfig = {
  voters: [new Set(), new Set()],
  learners: new Set(),
  learnersNext: new Set(),
  autoLeave: false,
};

/** `voters=(1 2)&&(1 2 3) learners=(4) learners_next=(3) autoleave`. */
export function describeConfig(c: TrackerConfig): string {
  let s = `voters=${describeJoint(c.voters)}`;
  if (c.learners.size > 0) s += ` learners=${describeVoters(c.learners)}`;
  if (c.learnersNext.size > 0) s += ` learners_next=${describeVoters(c.learnersNext)}`;
  if (c.autoLeave) s += " autoleave";
  return s;
}

/** One line per member, by id. */
export function describeProgressMap(m: ProgressMap): string {
  return sortedIds(m.keys())
    .map((id) => `${id}: ${String(m.get(id))}\n`)
    .join("");
}

/** The active configuration, the progress of its members and the votes of the election under way. */
export class ProgressTracker {
  readonly maxInflight: number;
  readonly maxInflightBytes: number;
  #config: TrackerConfig = EMPTY_TRACKER_CONFIG;
  #progress: ProgressMap = new Map();
  #votes = new Map<MemberId, boolean>();
  // Everything the hot path needs, derived once per configuration.
  #ids: readonly MemberId[] = [];
  #members: readonly Progress[] = [];
  #incoming: readonly Progress[] = [];
  #outgoing: readonly Progress[] = [];
  readonly #scratch: number[] = [];

  constructor(maxInflight: number, maxInflightBytes: number) {
    this.maxInflight = maxInflight;
    this.maxInflightBytes = maxInflightBytes;
  }

  get config(): TrackerConfig {
    return this.#config;
  }

  get progress(): ProgressMap {
    return this.#progress;
  }

  /** Makes a configuration active. */
  switchTo(config: TrackerConfig, progress: ProgressMap): void {
    this.#config = config;
    this.#progress = progress;
    this.#ids = sortedIds(progress.keys());
    const of = (ids: Iterable<MemberId>): Progress[] => {
      const found: Progress[] = [];
      for (const id of ids) {
        const pr = progress.get(id);
        if (pr !== undefined) found.push(pr);
      }
      return found;
    };
    this.#members = of(this.#ids);
    this.#incoming = of(config.voters[0]);
    this.#outgoing = of(config.voters[1]);
  }

  newInflights(): Inflights {
    return new Inflights(this.maxInflight, this.maxInflightBytes);
  }

  get(id: MemberId): Progress | undefined {
    return this.#progress.get(id);
  }

  /** Calls `fn` for every member in ascending order of ids. */
  visit(fn: (id: MemberId, pr: Progress) => void): void {
    // Taken first, as `fn` may lead to another configuration.
    const ids = this.#ids;
    const members = this.#members;
    for (let i = 0; i < ids.length; i++) fn(ids[i] as MemberId, members[i] as Progress);
  }

  /** The only voter, so that this node decides alone. */
  get isSingleton(): boolean {
    return this.#config.voters[0].size === 1 && this.#config.voters[1].size === 0;
  }

  get isJoint(): boolean {
    return this.#config.voters[1].size > 0;
  }

  /** The largest index that the voters have made durable, by quorum. */
  committed(): number {
    const incoming = this.#majority(this.#incoming);
    return this.#outgoing.length === 0 ? incoming : Math.min(incoming, this.#majority(this.#outgoing));
  }

  /** Whether a quorum was heard from since the last check. */
  quorumActive(): boolean {
    const votes = new Map<MemberId, boolean>();
    this.visit((id, pr) => {
      if (!pr.isLearner) votes.set(id, pr.recentActive);
    });
    return jointVote(this.#config.voters, votes) === "VoteWon";
  }

  voterIds(): MemberId[] {
    return sortedIds(jointIds(this.#config.voters));
  }

  confState(): ConfState {
    const { voters, learners, learnersNext, autoLeave } = this.#config;
    return {
      voters: sortedIds(voters[0]),
      votersOutgoing: sortedIds(voters[1]),
      learners: sortedIds(learners),
      learnersNext: sortedIds(learnersNext),
      autoLeave,
    };
  }

  resetVotes(): void {
    this.#votes = new Map();
  }

  /** The first answer of a voter counts; repeats do not. */
  recordVote(id: MemberId, granted: boolean): void {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
  }

  tallyVotes(): { granted: number; rejected: number; result: VoteResult } {
    let granted = 0;
    let rejected = 0;
    for (const [id, vote] of this.#votes) {
      const pr = this.#progress.get(id);
      // Votes of members that have left or been demoted meanwhile are not worth reporting.
      if (pr === undefined || pr.isLearner) continue;
      if (vote) granted++;
      else rejected++;
    }
    return { granted, rejected, result: jointVote(this.#config.voters, this.#votes) };
  }

  #majority(half: readonly Progress[]): number {
    const scratch = this.#scratch;
    for (let i = 0; i < half.length; i++) scratch[i] = (half[i] as Progress).match;
    return majorityOf(scratch, half.length);
  }
}
