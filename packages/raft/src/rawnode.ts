import type { MemberId } from "@keelson/types";
import { encodeAnyConfChange } from "./codec/conf-change.ts";
import { type AnyConfChange, asV2, type ConfChange } from "./conf-change.ts";
import { type RaftConfig, resolveConfig } from "./config.ts";
import { broken, RaftUsageError } from "./errors.ts";
import { applyConfChange, restoreMembership } from "./membership.ts";
import { Raft } from "./raft.ts";
import { mustSync, type Ready, storageAppendResponse, storageApplyResponse, storageMessages } from "./ready.ts";
import { entriesBytes } from "./size.ts";
import { type BasicStatus, basicStatus, fullStatus, type Status } from "./status.ts";
import { type StepResult, step, tick } from "./step.ts";
import {
  type ConfState,
  EMPTY_HARD_STATE,
  type Entry,
  type HardState,
  isEmptyHardState,
  isLocalMessage,
  isLocalTarget,
  isResponseMessage,
  type Message,
  type MessageDraft,
  NO_BYTES,
  NONE,
  newMessage,
  type RaftState,
} from "./types.ts";

/** Why a message from outside was not taken. A peer's proposal can be dropped; the rest is a faulty or unknown peer. */
export type StepOutcome = StepResult | "local-message" | "peer-not-found" | "malformed";

/** A member to start a new cluster with. */
export interface Peer {
  readonly id: MemberId;
  /** For the application, in the membership change that adds it. */
  readonly context?: Uint8Array;
}

/**
 * One node of a Raft cluster, without threads, time or I/O: the application feeds it messages and ticks, and carries out
 * what {@link ready} returns (upstream: rawnode.go).
 *
 * The loop is `ready` → store → send → apply → `advance`. With `asyncStorageWrites`, instead of storing and applying the
 * Ready, hand MsgStorageAppend and MsgStorageApply to whoever stores and applies, keep the order of each kind, deliver
 * their `responses` when done, and never call `advance`.
 */
export class RawNode {
  readonly #raft: Raft;
  readonly #async: boolean;
  // As of the last Ready.
  #lead: MemberId = NONE;
  #raftState: RaftState = "StateFollower";
  #hardState: HardState = EMPTY_HARD_STATE;
  /** What `advance` will feed back to the node. */
  #onAdvance: Message[] = [];

  /** For the tests of this package, which look inside. Not part of the package's interface. */
  static raftOf(node: RawNode): Raft {
    return node.#raft;
  }

  /** @throws RaftConfigError */
  constructor(config: RaftConfig) {
    const resolved = resolveConfig(config);
    const r = new Raft(resolved);
    this.#raft = r;
    this.#async = resolved.asyncStorageWrites;
    const { hardState, confState } = resolved.storage.initialState();
    restoreMembership(r, confState, r.log.lastIndex(), () => {});
    if (hardState !== undefined && !isEmptyHardState(hardState)) r.loadHardState(hardState);
    if (resolved.applied > 0) r.log.appliedTo(resolved.applied, 0);
    r.becomeFollower(r.term, NONE);
    const peers = r.tracker.voterIds().map((id) => id.toString(16));
    const last = r.log.lastId();
    r.logger.info(
      `newRaft ${r.name} [peers: [${peers.join(",")}], term: ${r.term}, commit: ${r.log.committed}, applied: ${r.log.applied}, lastindex: ${last.index}, lastterm: ${last.term}]`,
    );
    this.#remember(r.hardState());
  }

  /**
   * Starts a new cluster on an empty log, the same way on each of `peers`. The alternative, which leaves no trace in
   * the log, is a storage that already holds a snapshot with the membership at an index above 1.
   * @throws RaftUsageError when there are no peers, or a log
   */
  bootstrap(peers: readonly Peer[]): void {
    const r = this.#raft;
    if (peers.length === 0) throw new RaftUsageError("must provide at least one peer to Bootstrap");
    if (r.log.lastIndex() !== 0) throw new RaftUsageError("can't bootstrap a nonempty Storage");
    // The first Ready must say what to store.
    this.#hardState = EMPTY_HARD_STATE;
    r.becomeFollower(1, NONE);
    const changes = peers.map(
      ({ id, context }): ConfChange => ({
        type: "ConfChangeAddNode",
        nodeId: id,
        context: context ?? NO_BYTES,
        id: 0n,
      }),
    );
    r.log.append(changes.map((cc, i): Entry => ({ term: 1, index: i + 1, ...encodeAnyConfChange(cc) })));
    r.log.committed = peers.length;
    // Active at once, so that the node can campaign. The application will meet the same changes as committed entries.
    for (const cc of changes) applyConfChange(r, asV2(cc));
  }

  /** One unit of time passed. */
  tick(): void {
    tick(this.#raft);
  }

  /** Campaigns now. */
  campaign(): void {
    step(this.#raft, newMessage("MsgHup", NONE));
  }

  /** Proposes data for the log. `ok` means that it is on its way, not that it will be committed. */
  propose(data: Uint8Array): StepResult {
    return this.proposeMany([data]);
  }

  /** Like {@link propose}, for several entries that go into the log together or not at all. */
  proposeMany(data: readonly Uint8Array[]): StepResult {
    if (data.length === 0) return "ok";
    const m = newMessage("MsgProp", NONE);
    m.from = this.#raft.id;
    m.entries = data.map((d): Entry => ({ term: 0, index: 0, type: "EntryNormal", data: d }));
    return step(this.#raft, m);
  }

  /** Proposes a membership change. It takes effect when the committed entry is handed to {@link applyConfChange}. */
  proposeConfChange(cc: AnyConfChange): StepResult {
    const m = newMessage("MsgProp", NONE);
    m.entries = [{ term: 0, index: 0, ...encodeAnyConfChange(cc) }];
    return step(this.#raft, m);
  }

  /**
   * Makes a committed membership change active. To be called for each, in order, unless the application refuses it on
   * all nodes alike.
   * @param index of the entry that holds the change. Give it if messages are fed to the node while entries are being
   *   applied: a snapshot may have come meanwhile whose membership includes the change, which is then left alone
   * @returns the membership from now on, to be kept with the application's state
   * @throws ConfChangeError when the change is not legal; nothing was changed then
   */
  applyConfChange(cc: AnyConfChange, index = Number.POSITIVE_INFINITY): ConfState {
    if (index <= this.#raft.membershipIndex) return this.#raft.tracker.confState();
    return applyConfChange(this.#raft, asV2(cc));
  }

  /**
   * Feeds a message from a peer, or a response from this node's storage. The transport must see to it that a peer does
   * not claim to be the storage (`isLocalTarget(m.from)`).
   * @throws RaftDecodeError, ConfChangeError for a membership change or snapshot that is illegal; nothing was changed then
   */
  step(m: Message): StepOutcome {
    if (!isLocalTarget(m.from)) {
      if (isLocalMessage(m.type)) return "local-message";
      if (isResponseMessage(m.type) && this.#raft.tracker.get(m.from) === undefined) return "peer-not-found";
    }
    if (isMalformed(m)) return "malformed";
    return step(this.#raft, m);
  }

  /** Whether {@link ready} has anything to return. */
  hasReady(): boolean {
    const r = this.#raft;
    return (
      r.messages.length > 0 ||
      r.messagesAfterAppend.length > 0 ||
      r.log.unstable.hasNextEntries ||
      r.log.hasNextCommitted(!this.#async) ||
      r.readStates.length > 0 ||
      this.#softStateChanged() ||
      this.#hardStateChanged() ||
      r.log.unstable.nextSnapshot() !== undefined
    );
  }

  /** The work that has come up. It must be carried out; the next call returns only what came up since. */
  ready(): Ready {
    const r = this.#raft;
    const entries = r.log.unstable.nextEntries();
    const committedEntries = r.log.nextCommitted(!this.#async);
    const snapshot = r.log.unstable.nextSnapshot();
    const hardState = this.#hardStateChanged() ? r.hardState() : undefined;
    const work = {
      entries,
      committedEntries,
      ...(hardState === undefined ? undefined : { hardState }),
      ...(snapshot === undefined ? undefined : { snapshot }),
    };
    const rd: Ready = {
      ...work,
      ...(this.#softStateChanged() ? { softState: r.softState() } : undefined),
      readStates: r.readStates,
      messages: this.#outgoing(work),
      mustSync: mustSync(hardState ?? this.#hardState, this.#hardState, entries.length),
    };
    this.#accept(rd);
    return rd;
  }

  /** The last Ready was stored, sent and applied. Not for asynchronous storage writes. */
  advance(_rd?: Ready): void {
    if (this.#async) broken("Advance must not be called when using AsyncStorageWrites");
    const steps = this.#onAdvance;
    this.#onAdvance = [];
    for (const m of steps) step(this.#raft, m);
  }

  /**
   * Asks for the index up to which a read must wait to be linearizable. The answer comes in `Ready.readStates` with the
   * same `context`, which should be unique; it may also never come, so try again after a while.
   */
  readIndex(context: Uint8Array): void {
    const m = newMessage("MsgReadIndex", NONE);
    m.entries = [{ term: 0, index: 0, type: "EntryNormal", data: context }];
    step(this.#raft, m);
  }

  /** Asks the leader to hand over to `transferee`. Proposals are dropped until it did or an election timeout passed. */
  transferLeader(transferee: MemberId): void {
    step(this.#raft, this.#about("MsgTransferLeader", transferee));
  }

  /** Makes a follower vote as if it had not heard from the leader. Refused with lease-based reads. */
  forgetLeader(): void {
    step(this.#raft, newMessage("MsgForgetLeader", NONE));
  }

  /** The last message to `id` did not get through. */
  reportUnreachable(id: MemberId): void {
    step(this.#raft, this.#about("MsgUnreachable", id));
  }

  /** The snapshot that was sent to `id` arrived, or did not. Must be called for each MsgSnap. */
  reportSnapshot(id: MemberId, ok: boolean): void {
    const m = this.#about("MsgSnapStatus", id);
    m.reject = !ok;
    step(this.#raft, m);
  }

  basicStatus(): BasicStatus {
    return basicStatus(this.#raft);
  }

  status(): Status {
    return fullStatus(this.#raft);
  }

  #about(type: "MsgTransferLeader" | "MsgUnreachable" | "MsgSnapStatus", id: MemberId): MessageDraft {
    const m = newMessage(type, NONE);
    m.from = id;
    return m;
  }

  #outgoing(work: Pick<Ready, "entries" | "hardState" | "snapshot" | "committedEntries">): readonly Message[] {
    const r = this.#raft;
    const out = r.messages;
    if (this.#async) {
      for (const m of storageMessages(r, work)) out.push(m);
    } else {
      for (const m of r.messagesAfterAppend) if (m.to !== r.id) out.push(m);
    }
    return out;
  }

  #accept(rd: Ready): void {
    const r = this.#raft;
    if (!this.#async) {
      if (this.#onAdvance.length > 0) broken("two accepted Ready structs without call to Advance");
      for (const m of r.messagesAfterAppend) if (m.to === r.id) this.#onAdvance.push(m);
      const appended = storageAppendResponse(r, rd.snapshot);
      if (appended !== undefined) this.#onAdvance.push(appended);
      if (rd.committedEntries.length > 0) this.#onAdvance.push(storageApplyResponse(r, rd.committedEntries));
    }
    if (rd.readStates.length > 0) r.readStates = [];
    r.messages = [];
    r.messagesAfterAppend = [];
    r.log.unstable.acceptInProgress();
    const last = rd.committedEntries.at(-1);
    if (last !== undefined) r.log.acceptApplying(last.index, entriesBytes(rd.committedEntries), !this.#async);
    this.#remember(rd.hardState);
  }

  #remember(hardState?: HardState): void {
    const r = this.#raft;
    this.#lead = r.lead;
    this.#raftState = r.state;
    if (hardState !== undefined) this.#hardState = hardState;
  }

  #softStateChanged(): boolean {
    return this.#raft.lead !== this.#lead || this.#raft.state !== this.#raftState;
  }

  #hardStateChanged(): boolean {
    const { term, vote, log } = this.#raft;
    const before = this.#hardState;
    return log.committed !== before.commit || term !== before.term || vote !== before.vote;
  }
}

/** What no correct peer sends, and what would break the log or the node if it were taken. */
function isMalformed(m: Message): boolean {
  if (m.type === "MsgApp") return !followsOn(m);
  if (m.type === "MsgProp") return m.entries.length === 0;
  return m.type === "MsgReadIndex" && m.entries.length !== 1;
}

/** Whether entries are consecutive from their anchor, and their terms never fall nor exceed the leader's. */
function followsOn({ index, logTerm, term, entries }: Message): boolean {
  let before = logTerm;
  for (let i = 0; i < entries.length; i++) {
    const e = entries[i] as Entry;
    if (e.index !== index + 1 + i || e.term < before) return false;
    before = e.term;
  }
  return before <= term;
}
