import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { type InternalRaftRequest, InternalRaftRequestSchema } from "@keelson/proto";
import {
  confChangeOf,
  type Entry,
  encodeConfState,
  type Message,
  RawNode,
  type ReadState,
  type Snapshot,
  type SoftState,
} from "@keelson/raft";
import type { KvStore, WriteOp } from "@keelson/storage";
import { assert, type Clock, type Logger, type MemberId, type Random } from "@keelson/types";
import { AppliedStore, type TakenChanges } from "./applied-store.ts";
import { generationRecord, type LoadedMember } from "./boot.ts";
import { ConfChanges, changeMembers } from "./conf-changes.ts";
import type { ServerConfig } from "./config.ts";
import { EtcdError, type EtcdErrorCode, MemberFailedError } from "./core/errors.ts";
import { ReadRounds } from "./core/read-rounds.ts";
import type { ApplyOutcome, StateMachine } from "./core/state-machine.ts";
import { expireLeases } from "./lease-expiry.ts";
import { LogStore } from "./log-store.ts";
import { decodeMemberChange } from "./member-change.ts";
import { Proposals } from "./proposals.ts";
import { type DriverHandler, RaftDriver } from "./raft-driver.ts";
import { decodeGeneration, SnapshotExchange } from "./snapshot-exchange.ts";
import { loadState } from "./state-loader.ts";
import type { PeerTransport } from "./transport/port.ts";

/** What happens inside a member, for those who serve clients and for metrics. Called synchronously; must not throw. */
export interface MemberEvents {
  /** The key space changed; `changes` holds one whole revision. */
  onChanges?(changes: NonNullable<ApplyOutcome["changes"]>): void;
  onLeaderChange?(leader: MemberId, term: number): void;
  /** A snapshot replaced the state: whatever refers to the old one must let go. */
  onStateReplaced?(state: StateMachine): void;
  onApplied?(entries: number, ms: number): void;
  onFsync?(ms: number): void;
  /** The member cannot go on and has stopped. */
  onFailure?(error: MemberFailedError): void;
}

export interface MemberDeps {
  readonly config: ServerConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly store: KvStore;
  readonly transport: PeerTransport;
  readonly logger: Logger;
}

/** Records that one step of a compaction's clean-up looks at, and the pause between two steps. */
const SCRUB_RECORDS = 1_000;
const SCRUB_PAUSE_MS = 5;
/** Applied changes that gather for the next batch of the log. */
const FLUSH_BYTES = 1024 * 1024;
/** Bytes of applied state on their way to the store at which applying waits. */
const PENDING_BYTES_MAX = 64 * 1024 * 1024;
/** Committed entries that may wait to be applied before new requests are refused (upstream: maxGapBetweenApplyAndCommitIndex). */
const APPLY_GAP_MAX = 5_000;
/** The others must have noticed, too, before one campaigns; and not two at once. */
const GONE_PAUSE_MS = 30;
const GONE_SPREAD_MS = 150;

/**
 * One member of the cluster: Raft with its log, the replicated state, and the requests that wait for them. Everything
 * that clients want goes through `propose` and `readIndex`; the services on top add validation and shape.
 */
export class Member implements DriverHandler {
  readonly id: MemberId;
  readonly config: ServerConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly transport: PeerTransport;
  readonly proposals: Proposals;
  readonly #store: KvStore;
  readonly #random: Random;
  readonly #events: MemberEvents;
  readonly #log: LogStore;
  readonly #driver: RaftDriver;
  readonly #reads: ReadRounds;
  readonly #timers: Disposable[] = [];
  readonly #snapshots: SnapshotExchange;
  readonly #confChanges: ConfChanges;
  readonly #waitingForLeader = new Set<() => void>();
  #applied: AppliedStore;
  #state: StateMachine;
  #soft: SoftState = { lead: 0n, raftState: "StateFollower" };
  #appliedTerm: number;
  #scrubTimer: Disposable | undefined;
  #stopped = false;

  constructor(deps: MemberDeps, loaded: LoadedMember, events: MemberEvents) {
    this.config = deps.config;
    this.clock = deps.clock;
    this.logger = deps.logger;
    this.transport = deps.transport;
    this.#store = deps.store;
    this.#random = deps.random;
    this.#events = events;
    this.id = loaded.identity.memberId;
    this.#state = loaded.state;
    this.#applied = loaded.applied;
    this.#appliedTerm = loaded.state.applied.term;
    this.proposals = new Proposals(this.id, deps.random);
    this.#reads = new ReadRounds(deps.random.below(2 ** 31) * 2 ** 20);
    const lastIndex = loaded.offset.index + loaded.entries.length;
    this.#log = new LogStore(
      deps.store,
      { hardState: loaded.hardState, offset: loaded.offset, lastIndex: loaded.offset.index },
      () => ({ ...this.#state.applied, confState: this.#state.confState }),
    );
    this.#log.append(loaded.entries, undefined); // into its cache; they are in the store already
    assert(this.#log.lastIndex() === lastIndex, "the whole log was loaded");
    const node = this.#newNode(deps.random);
    const nowMs = () => deps.clock.monotonicMs();
    this.#driver = new RaftDriver({ node, log: this.#log, store: deps.store, logger: deps.logger, nowMs }, this);
    this.#confChanges = new ConfChanges(deps.clock);
    this.#snapshots = new SnapshotExchange({
      store: deps.store,
      transport: deps.transport,
      logger: deps.logger,
      driver: this.#driver,
      current: () => ({ generation: this.#applied.generation, appliedIndex: this.#state.applied.index }),
    });
  }

  start(bootstrapPeers: LoadedMember["identity"]["bootstrapPeers"]): void {
    this.transport.start({
      onMessage: (m) => this.#onMessage(m),
      onUnreachable: (id) => this.#driver.call(() => this.#driver.node.reportUnreachable(id)),
      onGone: (id) => this.#peerGone(id),
      onNotSent: (m) => {
        if (m.type === "MsgProp") this.proposals.notSent(m.entries);
      },
      onSnapshot: (m, chunks) => this.#snapshots.receive(m, chunks),
      onRequest: (from, body) => this.onPeerRequest(from, body),
    });
    const members = this.#state.members.list();
    this.transport.setPeers((members.length > 0 ? members : bootstrapPeers).filter((m) => m.id !== this.id));
    this.#timers.push(this.clock.every(this.config.heartbeatMs, () => this.#tick()));
    this.#driver.start();
    const voters = this.#state.confState.voters;
    // Alone there is nobody to wait for.
    if (voters.length === 1 && voters[0] === this.id) this.#driver.call(() => this.#driver.node.campaign());
    if (this.#state.mvcc.scrubbing) this.#scrubSoon();
  }

  /** Answers what other members ask; set by the server. */
  onPeerRequest: (from: MemberId, body: Uint8Array) => Promise<Uint8Array> = () =>
    Promise.reject(new EtcdError("ERR_UNSUPPORTED"));

  async stop(): Promise<void> {
    await this.#halt("ERR_STOPPED");
    await this.#driver.stop();
    await this.transport.stop();
    await this.#driver.flush().catch(() => undefined);
  }

  get state(): StateMachine {
    return this.#state;
  }

  get leader(): MemberId {
    return this.#soft.lead;
  }

  get isLeader(): boolean {
    return this.#soft.raftState === "StateLeader";
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  status(): ReturnType<RawNode["basicStatus"]> {
    return this.#driver.node.basicStatus();
  }

  progress(): ReturnType<RawNode["status"]>["progress"] {
    return this.#driver.node.status().progress;
  }

  get term(): number {
    return this.status().term;
  }

  /** How long a request may take (upstream: ServerConfig.ReqTimeout). */
  get requestTimeoutMs(): number {
    return 5_000 + 2 * this.config.electionMs;
  }

  get electionTicks(): number {
    return Math.max(2, Math.round(this.config.electionMs / this.config.heartbeatMs));
  }

  nowMs(): number {
    return this.clock.monotonicMs();
  }

  /**
   * Puts a request into the log and returns what came of it. After a timeout or the loss of the leader it is unknown
   * whether it took effect, and the error says so.
   * @throws EtcdError
   */
  async propose(request: MessageInitShape<typeof InternalRaftRequestSchema>): Promise<ApplyOutcome> {
    if (this.#stopped) throw new EtcdError("ERR_STOPPED");
    const { commit, applied } = this.status();
    if (commit - applied > APPLY_GAP_MAX) throw new EtcdError("ERR_TOO_MANY_REQUESTS", { commit, applied });
    const limit = this.config.maxRequestBytes;
    const done = this.proposals.add(request, this.nowMs() + this.requestTimeoutMs, limit);
    this.#driver.wake();
    const outcome = await done;
    if (outcome.error !== undefined) throw outcome.error;
    return outcome;
  }

  /** Proposes a change of Raft's membership and returns when it was applied. @throws EtcdError */
  proposeConfChange(build: (id: bigint) => Parameters<RawNode["proposeConfChange"]>[0]): Promise<ApplyOutcome> {
    if (this.#stopped) return Promise.reject(new EtcdError("ERR_STOPPED"));
    const id = this.proposals.nextId();
    const done = this.#confChanges.wait(id, this.requestTimeoutMs);
    this.#driver.call(() => this.#confChanges.propose(id, build(id), this.#driver.node));
    return done;
  }

  /** Resolves when this member's state holds everything acknowledged before the call. @throws EtcdError */
  readIndex(): Promise<void> {
    if (this.#stopped) return Promise.reject(new EtcdError("ERR_STOPPED"));
    return new Promise((resolve, reject) => {
      this.#reads.add({
        deadlineMs: this.nowMs() + this.requestTimeoutMs,
        ready: resolve,
        failed: (why) => reject(new EtcdError(why === "timeout" ? "ERR_TIMEOUT" : "ERR_TIMEOUT_WAIT_APPLIED_INDEX")),
      });
      this.#driver.wake();
    });
  }

  /** Hands the leadership to `target`; resolves when another member leads. @throws EtcdError */
  async transferLeadership(target: MemberId): Promise<void> {
    this.#driver.call(() => this.#driver.node.transferLeader(target));
    const deadline = this.nowMs() + this.config.electionMs * 2;
    while (this.leader !== target) {
      if (this.nowMs() >= deadline || this.#stopped) throw new EtcdError("ERR_TIMEOUT");
      await new Promise<void>((resolve) => void this.clock.after(10, resolve));
    }
  }

  /** Resolves once this member knows the leader, or after `timeoutMs`. */
  async waitForLeader(timeoutMs: number): Promise<boolean> {
    const deadline = this.nowMs() + timeoutMs;
    while (this.leader === 0n) {
      if (this.nowMs() >= deadline || this.#stopped) return false;
      await new Promise<void>((resolve) => {
        const done = () => {
          timer[Symbol.dispose]();
          this.#waitingForLeader.delete(done);
          resolve();
        };
        const timer = this.clock.after(deadline - this.nowMs(), done);
        this.#waitingForLeader.add(done);
      });
    }
    return true;
  }

  /** Runs `fn` inside the loop. */
  call(fn: () => void): void {
    this.#driver.call(fn);
  }

  // What the driver calls.

  beforeReady(): void {
    const { node } = this.#driver;
    if (this.proposals.waiting > 0) this.proposals.propose(node);
    const round = this.#reads.next(this.nowMs());
    if (round !== undefined) node.readIndex(encodeRound(round));
  }

  onSoftState(soft: SoftState, term: number): void {
    const before = this.#soft;
    this.#soft = soft;
    if (before.raftState === "StateLeader" && soft.raftState !== "StateLeader") this.#state.lessor.demote();
    if (soft.lead !== before.lead) {
      this.#reads.leaderChanged();
      this.proposals.retry();
      this.#events.onLeaderChange?.(soft.lead, term);
      if (soft.lead !== 0n) for (const done of Array.from(this.#waitingForLeader)) done();
    }
  }

  onReadStates(states: readonly ReadState[]): void {
    for (const { index, context } of states) {
      this.#reads.confirmed(decodeRound(context), index, this.#state.applied.index);
    }
  }

  onCommitted(entries: readonly Entry[]): Promise<void> | undefined {
    const start = this.nowMs();
    for (const entry of entries) this.#apply(entry);
    this.#events.onApplied?.(entries.length, this.nowMs() - start);
    this.#reads.applied(this.#state.applied.index);
    const mustWait = this.#flushIfMany();
    this.#maybeCompactLog();
    return mustWait;
  }

  send(messages: readonly Message[]): void {
    const plain = messages.filter((m) => m.type !== "MsgSnap");
    if (plain.length > 0) this.transport.send(plain);
    for (const m of messages) if (m.type === "MsgSnap") void this.#snapshots.send(m);
  }

  onSnapshot(snapshot: Snapshot): { ops: readonly WriteOp[]; done: () => Promise<void> } {
    const generation = decodeGeneration(snapshot.data);
    assert(generation > this.#applied.generation, "a snapshot is newer than the state", { generation });
    return { ops: [generationRecord(generation)], done: () => this.#install(generation) };
  }

  onWriteTook(ms: number, sync: boolean): void {
    if (sync) this.#events.onFsync?.(ms);
    if (ms > 1000) this.logger.warn("slow fsync", { tookMs: Math.round(ms) });
  }

  onFailure(cause: unknown): void {
    if (this.#stopped) return;
    const error = new MemberFailedError("the member stopped: going on could lose acknowledged data", {}, { cause });
    this.logger.error("member failed", { error });
    void this.#halt("ERR_STOPPED").then(() => this.transport.stop());
    this.#events.onFailure?.(error);
  }

  #newNode(random: Random): RawNode {
    const log = this.logger;
    return new RawNode({
      id: this.id,
      electionTick: this.electionTicks,
      heartbeatTick: 1,
      storage: this.#log,
      random,
      logger: {
        debug: (m) => log.debug(m),
        info: (m) => log.info(m),
        warn: (m) => log.warn(m),
        error: (m) => log.error(m),
      },
      applied: this.#state.applied.index,
      maxSizePerMsg: 1024 * 1024,
      maxCommittedSizePerReady: 4 * 1024 * 1024,
      maxUncommittedEntriesSize: 512 * 1024 * 1024,
      maxInflightMsgs: 512,
      // What a peer with a stalled disk has to hold in memory.
      maxInflightBytes: 64 * 1024 * 1024,
      checkQuorum: true,
      preVote: this.config.preVote,
    });
  }

  #onMessage(m: Message): void {
    if (this.#state.members.isRemoved(m.from)) return;
    this.#driver.step(m);
  }

  /**
   * A leader whose process has ended need not be waited for: followers forget it and one of them campaigns soon, with a
   * pre-vote, so that nothing happens if the others still hear from it. Only a hint: an election at any time is safe.
   */
  #peerGone(id: MemberId): void {
    if (id !== this.leader) return;
    const { node } = this.#driver;
    this.#driver.call(() => {
      if (node.basicStatus().lead !== id || node.basicStatus().raftState !== "StateFollower") return;
      this.logger.info("the leader has gone; starting an election early", { leader: id });
      node.forgetLeader();
      const delayMs = GONE_PAUSE_MS + this.#random.below(GONE_SPREAD_MS);
      this.clock.after(delayMs, () =>
        this.#driver.call(() => {
          if (node.basicStatus().lead === 0n && node.basicStatus().raftState === "StateFollower") node.campaign();
        }),
      );
    });
  }

  #tick(): void {
    const now = this.nowMs();
    this.proposals.tick(now);
    this.#reads.expire(now);
    this.#driver.tick();
    // A cluster at rest must not lean on its log for long.
    this.#driver.call(() => void this.#driver.flush());
    if (this.#state.lessor.primary) this.#driver.call(() => this.#expireLeases());
  }

  #expireLeases(): void {
    expireLeases(this.#state.lessor, this.#appliedTerm, {
      node: this.#driver.node,
      proposals: this.proposals,
      logger: this.logger,
      nowMs: () => this.nowMs(),
      timeoutMs: this.requestTimeoutMs,
    });
  }

  #apply(entry: Entry): void {
    if (entry.term > this.#appliedTerm) this.#firstOfTerm(entry.term);
    const at = { index: entry.index, term: entry.term };
    if (entry.type !== "EntryNormal") return this.#applyConfChange(entry);
    if (entry.data.length === 0) {
      this.#state.advance(at); // a new leader's first
      return this.#promoteIfLeader(entry);
    }
    const request = this.proposals.find(entry.data) ?? decodeRequest(entry);
    const outcome = this.#state.apply(request, at, this.nowMs());
    if (outcome.changes !== undefined) this.#events.onChanges?.(outcome.changes);
    if (request.header !== undefined) this.proposals.finish(request.header.ID, outcome);
    if (request.compaction !== undefined && outcome.error === undefined) this.#scrubSoon();
  }

  #firstOfTerm(term: number): void {
    this.#appliedTerm = term;
    this.proposals.leaderChanged(term);
  }

  /** From here on no revocation by an earlier leader can come out of the log any more. */
  #promoteIfLeader(entry: Entry): void {
    const { raftState, term } = this.status();
    if (raftState !== "StateLeader" || term !== entry.term) return;
    this.#state.lessor.promote(this.nowMs(), this.config.electionMs);
  }

  #applyConfChange(entry: Entry): void {
    const cc = confChangeOf(entry);
    assert(cc !== undefined, "a configuration change can be decoded", { index: entry.index });
    const { id, change } = decodeMemberChange(cc);
    const outcome = changeMembers(this.#state, change);
    // All members refuse alike, and then Raft is not told.
    if (outcome.error === undefined) {
      const confState = this.#driver.node.applyConfChange(cc);
      this.#state.setConfState(confState, encodeConfState(confState));
    }
    this.#state.advance({ index: entry.index, term: entry.term });
    this.transport.setPeers(this.#state.members.list().filter((m) => m.id !== this.id));
    this.#confChanges.finish(id, outcome);
    if (this.#state.members.isRemoved(this.id)) this.#removed();
  }

  #removed(): void {
    this.logger.warn("this member was removed from the cluster");
    // Give the others the acknowledgement of this entry before going silent.
    this.clock.after(this.config.electionMs, () =>
      this.#driver.fail(new EtcdError("ERR_MEMBER_NOT_FOUND", { removed: this.id })),
    );
  }

  takeApplied(): TakenChanges | undefined {
    return this.#applied.take();
  }

  /** Lets changes gather for the next batch of the log, unless there are many. */
  #flushIfMany(): Promise<void> | undefined {
    if (this.#applied.dirtyBytes < FLUSH_BYTES) return undefined;
    const written = this.#driver.flush();
    return this.#applied.pendingBytes > PENDING_BYTES_MAX ? written : undefined;
  }

  #maybeCompactLog(): void {
    const { index } = this.#state.applied;
    const kept = index - this.#log.firstIndex();
    if (kept < this.config.snapshotCount + this.config.snapshotCatchUpEntries) return;
    void this.#driver.flush();
    const ops = this.#log.compact(index - this.config.snapshotCatchUpEntries);
    this.logger.info("compacted Raft logs", { "compact-index": index - this.config.snapshotCatchUpEntries });
    // Behind the flush above: what is forgotten here is in the applied state that the store then holds.
    this.#store.write(ops, { sync: false }).catch((error: unknown) => this.#driver.fail(error));
  }

  /** Deletes in small steps what a compaction made unreadable. */
  #scrubSoon(): void {
    this.#scrubTimer ??= this.clock.after(SCRUB_PAUSE_MS, () => {
      this.#scrubTimer = undefined;
      this.#driver.call(() => {
        if (!this.#state.mvcc.scrubbing) return;
        this.#state.mvcc.scrub(SCRUB_RECORDS);
        void this.#flushIfMany();
        if (this.#state.mvcc.scrubbing) this.#scrubSoon();
        else
          this.logger.info("finished scheduled compaction", { "compact-revision": this.#state.mvcc.compactRevision });
      });
    });
  }

  async #install(generation: number): Promise<void> {
    const before = this.#applied.generation;
    this.#applied = new AppliedStore(this.#store, generation);
    const state = await loadState(this.#store, this.#applied, this.#state);
    this.#state = state;
    this.#appliedTerm = state.applied.term;
    this.proposals.leaderChanged(state.applied.term + 1);
    this.transport.setPeers(state.members.list().filter((p) => p.id !== this.id));
    this.#reads.applied(state.applied.index);
    this.#events.onStateReplaced?.(state);
    this.logger.info("applied snapshot", { index: state.applied.index, term: state.applied.term });
    this.#snapshots.discard(before, generation);
  }

  async #halt(code: EtcdErrorCode): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const timer of this.#timers) timer[Symbol.dispose]();
    this.#scrubTimer?.[Symbol.dispose]();
    this.proposals.failAll(code);
    for (const read of this.#reads.clear()) read.failed("timeout");
    this.#confChanges.failAll(code);
    for (const done of Array.from(this.#waitingForLeader)) done();
  }
}

function decodeRequest(entry: Entry): InternalRaftRequest {
  return fromBinary(InternalRaftRequestSchema, entry.data);
}

/** A number as eight bytes, big-endian. */
function encodeRound(n: number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(n));
  return out;
}

function decodeRound(bytes: Uint8Array): number {
  assert(bytes.length === 8, "a number of eight bytes", { bytes: bytes.length });
  return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0));
}
