import type { MemberId, Random } from "@keelson/types";
import { hexId } from "@keelson/types";
import type { ResolvedConfig } from "./config.ts";
import { broken } from "./errors.ts";
import { RaftLog } from "./log.ts";
import type { RaftLogger } from "./logger.ts";
import { ReadOnly } from "./read-only.ts";
import { payloadBytes } from "./size.ts";
import { ProgressTracker } from "./tracker/tracker.ts";
import {
  type Entry,
  type HardState,
  type Message,
  type MessageDraft,
  type MessageType,
  NO_BYTES,
  NONE,
  newMessage,
  type RaftState,
  type ReadState,
  type SoftState,
} from "./types.ts";

/** These speak of the term campaigned for, which for a pre-vote is not this node's. */
const TELLS_ITS_TERM: ReadonlySet<MessageType> = new Set(["MsgVote", "MsgVoteResp", "MsgPreVote", "MsgPreVoteResp"]);

/**
 * The state of one node, and the transitions between roles. What the roles do with messages is in `step-*.ts`.
 * Nothing here is public; applications use `RawNode` (upstream: raft.go).
 */
export class Raft {
  readonly id: MemberId;
  /** `id` as log lines print it. */
  readonly name: string;
  readonly logger: RaftLogger;
  readonly log: RaftLog;
  readonly config: ResolvedConfig;
  readonly #random: Random;

  term = 0;
  vote: MemberId = NONE;
  state: RaftState = "StateFollower";
  lead: MemberId = NONE;
  isLearner = false;
  tracker: ProgressTracker;
  /** The index of the snapshot that the membership was restored from; changes up to there are part of it. */
  membershipIndex = 0;

  /** To be sent at once. */
  messages: Message[] = [];
  /** To be sent when the state they speak of (votes, appended entries) is on disk; also acknowledgements to itself. */
  messagesAfterAppend: Message[] = [];
  readStates: ReadState[] = [];

  /** The member that is to take over, while a transfer is under way (thesis 3.10). */
  leadTransferee: MemberId = NONE;
  /** No membership change may be proposed before this index is applied. */
  pendingConfIndex = 0;
  /** Payload in the log of a leader that is not applied yet: an estimate from below. */
  uncommittedBytes = 0;
  readOnly: ReadOnly;
  /** Reads that came before this leader has committed an entry of its term. */
  pendingReads: Message[] = [];

  /** Ticks since the last sign of a leader, or for a leader since the last check of the quorum. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  /** In [electionTick, 2 * electionTick), drawn anew with each change of role. */
  randomizedElectionTimeout = 0;

  constructor(config: ResolvedConfig) {
    this.id = config.id;
    this.name = hexId(config.id);
    this.config = config;
    this.logger = config.logger;
    this.#random = config.random;
    this.log = new RaftLog(config.storage, config.logger, config.maxCommittedSizePerReady);
    this.tracker = this.newTracker();
    this.readOnly = new ReadOnly(config.readOnlyOption);
  }

  newTracker(): ProgressTracker {
    return new ProgressTracker(this.config.maxInflightMsgs, this.config.maxInflightBytes);
  }

  softState(): SoftState {
    return { lead: this.lead, raftState: this.state };
  }

  hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committed };
  }

  /** Takes over what a restart left. */
  loadHardState({ term, vote, commit }: HardState): void {
    if (commit < this.log.committed || commit > this.log.lastIndex()) {
      broken(`${this.name} state.commit ${commit} is out of range [${this.log.committed}, ${this.log.lastIndex()}]`);
    }
    this.log.committed = commit;
    this.term = term;
    this.vote = vote;
  }

  /**
   * Queues a message. Anything that amounts to a vote, for a leader or for log entries, waits until what it promises is
   * on disk (thesis 3.8); so do refusals, which are rare and may rest on unwritten state as well.
   */
  send(m: MessageDraft): void {
    if (m.from === NONE) m.from = this.id;
    if (TELLS_ITS_TERM.has(m.type)) {
      if (m.term === 0) broken(`term should be set when sending ${m.type}`);
    } else {
      if (m.term !== 0) broken(`term should not be set when sending ${m.type} (was ${m.term})`);
      // Proposals and read requests are on their way to the leader: local, whatever the term.
      if (m.type !== "MsgProp" && m.type !== "MsgReadIndex") m.term = this.term;
    }
    if (m.type === "MsgAppResp" || m.type === "MsgVoteResp" || m.type === "MsgPreVoteResp") {
      this.messagesAfterAppend.push(m);
      return;
    }
    if (m.to === this.id) broken(`message should not be self-addressed when sending ${m.type}`);
    this.messages.push(m);
  }

  /** Passes a message on to the leader. The original stays as it is; others may hold it. */
  forward(m: Message): void {
    this.send({ ...m, to: this.lead, term: 0 });
  }

  becomeFollower(term: number, lead: MemberId): void {
    this.#reset(term);
    this.lead = lead;
    this.state = "StateFollower";
    this.logger.info(`${this.name} became follower at term ${this.term}`);
  }

  becomeCandidate(): void {
    if (this.state === "StateLeader") broken("invalid transition [leader -> candidate]");
    this.#reset(this.term + 1);
    this.vote = this.id;
    this.state = "StateCandidate";
    this.logger.info(`${this.name} became candidate at term ${this.term}`);
  }

  /** Neither term nor vote change: nothing happened yet. */
  becomePreCandidate(): void {
    if (this.state === "StateLeader") broken("invalid transition [leader -> pre-candidate]");
    this.tracker.resetVotes();
    this.lead = NONE;
    this.state = "StatePreCandidate";
    this.logger.info(`${this.name} became pre-candidate at term ${this.term}`);
  }

  becomeLeader(): void {
    if (this.state === "StateFollower") broken("invalid transition [follower -> leader]");
    this.#reset(this.term);
    this.lead = this.id;
    this.state = "StateLeader";
    const own = this.tracker.get(this.id) ?? broken(`${this.name} became leader outside the configuration`);
    own.becomeReplicate();
    own.recentActive = true;
    // There may be a membership change in the tail of the log. Looking would be slow; waiting for the tail is safe.
    this.pendingConfIndex = this.log.lastIndex();
    const empty: Entry = { term: 0, index: 0, type: "EntryNormal", data: NO_BYTES };
    if (!this.appendEntries([empty])) broken("empty entry was dropped");
    this.logger.info(`${this.name} became leader at term ${this.term}`);
  }

  /** Appends proposals to a leader's log under its term. False when the uncommitted tail would grow too large. */
  appendEntries(proposals: readonly Entry[]): boolean {
    const size = payloadBytes(proposals);
    // One that comes to an empty tail is taken whatever its size, and empty ones always: a new leader needs its first
    // entry, and a joint configuration must be left.
    if (this.uncommittedBytes > 0 && size > 0 && this.uncommittedBytes + size > this.config.maxUncommittedEntriesSize) {
      this.logger.warn(
        `${this.name} appending new entries to log would exceed uncommitted entry size limit; dropping proposal`,
      );
      return false;
    }
    this.uncommittedBytes += size;
    const first = this.log.lastIndex() + 1;
    const entries: Entry[] = [];
    for (let i = 0; i < proposals.length; i++) {
      const { type, data } = proposals[i] as Entry;
      entries.push({ term: this.term, index: first + i, type, data });
    }
    // Acknowledged to itself once on disk, like a follower's append.
    const ack = newMessage("MsgAppResp", this.id);
    ack.index = this.log.append(entries);
    this.send(ack);
    return true;
  }

  /** Entries whose payload is `bytes` left the uncommitted tail. */
  reduceUncommitted(bytes: number): void {
    this.uncommittedBytes = Math.max(0, this.uncommittedBytes - bytes);
  }

  /** Whether this node may lead: a voter that has no snapshot to apply. */
  get promotable(): boolean {
    const own = this.tracker.get(this.id);
    return own !== undefined && !own.isLearner && this.log.unstable.snapshot === undefined;
  }

  get pastElectionTimeout(): boolean {
    return this.electionElapsed >= this.randomizedElectionTimeout;
  }

  abortLeaderTransfer(): void {
    this.leadTransferee = NONE;
  }

  /** Only then does a leader know what is committed (paper 8). */
  get committedInCurrentTerm(): boolean {
    return this.log.termOrZero(this.log.committed) === this.term;
  }

  #reset(term: number): void {
    if (this.term !== term) {
      this.term = term;
      this.vote = NONE;
    }
    this.lead = NONE;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    this.randomizedElectionTimeout = this.config.electionTick + this.#random.below(this.config.electionTick);
    this.abortLeaderTransfer();
    this.tracker.resetVotes();
    const last = this.log.lastIndex();
    this.tracker.visit((id, pr) => {
      pr.reset(id === this.id ? last : 0, last + 1, this.tracker.newInflights());
    });
    this.pendingConfIndex = 0;
    this.uncommittedBytes = 0;
    this.readOnly = new ReadOnly(this.readOnly.option);
  }
}
