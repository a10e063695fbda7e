import type { Entry, HardState, Message, RawNode, ReadState, Ready, Snapshot, SoftState } from "@keelson/raft";
import type { KvStore, WriteOp } from "@keelson/storage";
import type { Logger } from "@keelson/types";
import type { TakenChanges } from "./applied-store.ts";
import type { LogStore } from "./log-store.ts";

/** What the driver does with the results of Raft. Called within the driver's loop, one at a time. */
export interface DriverHandler {
  /** Leader or role changed. */
  onSoftState(state: SoftState, term: number): void;
  onReadStates(states: readonly ReadState[]): void;
  /** Committed entries, in order. Changes the state in memory and hands it to the store, without waiting for it. */
  onCommitted(entries: readonly Entry[]): Promise<void> | undefined;
  /** A snapshot replaces the state. Returns what belongs into the same batch; `done` after it is durable. */
  onSnapshot(snapshot: Snapshot): { ops: readonly WriteOp[]; done: () => Promise<void> };
  send(messages: readonly Message[]): void;
  /** Changes of the applied state that are not in the store yet: they go along with the next batch. */
  takeApplied(): TakenChanges | undefined;
  /** Before each look at Raft: proposals, reads, time. */
  beforeReady(): void;
  onWriteTook(ms: number, sync: boolean): void;
  /** The driver cannot go on. It has stopped. */
  onFailure(error: unknown): void;
}

/** Sent before this member's own fsync: what a leader says promises nothing about its own disk (Raft thesis 10.2.1). */
const EARLY: ReadonlySet<Message["type"]> = new Set(["MsgApp", "MsgHeartbeat", "MsgSnap"]);

/**
 * The loop around a `RawNode`: everything that happened is fed in, then what Raft wants done is carried out in the order
 * that makes it safe:
 *
 * 1. a leader's appends go out, so that followers write at the same time;
 * 2. entries and hard state go to the store as one batch with an fsync, together with what was applied before;
 * 3. meanwhile committed entries are applied: a quorum has them already, with or without this disk;
 * 4. when the write is done the other messages (votes, acknowledgements) go out.
 *
 * What arrives during the fsync is the next round's: that is the group commit. A failed write ends the member, because
 * nobody can say what is on the disk then.
 */
export class RaftDriver {
  readonly node: RawNode;
  readonly #log: LogStore;
  readonly #store: KvStore;
  readonly #handler: DriverHandler;
  readonly #logger: Logger;
  readonly #nowMs: () => number;
  #inbox: Message[] = [];
  #calls: (() => void)[] = [];
  #ticks = 0;
  #wake: (() => void) | undefined;
  #stopping = false;
  #running: Promise<void> | undefined;
  #leading = false;
  #term: number;
  /** Hard state that is not in the store, or on its way there: a new commit index alone is not worth a write. */
  #unwritten: HardState | undefined;
  /** The term up to which hard state is durable: only then may a leader of that term speak early. */
  #durableTerm: number;

  constructor(
    deps: { node: RawNode; log: LogStore; store: KvStore; logger: Logger; nowMs: () => number },
    handler: DriverHandler,
  ) {
    this.node = deps.node;
    this.#log = deps.log;
    this.#store = deps.store;
    this.#logger = deps.logger;
    this.#nowMs = deps.nowMs;
    this.#handler = handler;
    this.#term = deps.node.basicStatus().term;
    this.#durableTerm = this.#term;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Lets the round under way finish and ends the loop. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#wake?.();
    await this.#running;
  }

  /** Ends the member: something that it cannot do without has failed. */
  fail(error: unknown): void {
    this.#fail(error);
  }

  /** A message from a peer. Bounded by the transport, which reads no faster than this empties. */
  step(message: Message): void {
    if (this.#stopping) return;
    this.#inbox.push(message);
    this.wake();
  }

  /** Time passed. Ticks that pile up behind a slow disk count once: the delay is this member's, not its leader's. */
  tick(): void {
    this.#ticks = 1;
    this.wake();
  }

  /** Runs `fn` inside the loop, where the node may be used. */
  call(fn: () => void): void {
    if (this.#stopping) return;
    this.#calls.push(fn);
    this.wake();
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  get backlog(): number {
    return this.#inbox.length;
  }

  async #run(): Promise<void> {
    try {
      while (!this.#stopping) {
        this.#feed();
        if (this.node.hasReady()) await this.#carryOut(this.node.ready());
        else if (this.#idle()) await this.#sleep();
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #idle(): boolean {
    return this.#inbox.length === 0 && this.#calls.length === 0 && this.#ticks === 0 && !this.#stopping;
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #feed(): void {
    const inbox = this.#inbox;
    if (inbox.length > 0) {
      this.#inbox = [];
      for (const message of inbox) {
        const outcome = this.node.step(message);
        if (outcome !== "ok") this.#logger.debug("raft message not taken", { type: message.type, outcome });
      }
    }
    if (this.#ticks > 0) {
      this.#ticks = 0;
      this.node.tick();
    }
    const calls = this.#calls;
    if (calls.length > 0) {
      this.#calls = [];
      for (const fn of calls) fn();
    }
    this.#handler.beforeReady();
  }

  async #carryOut(rd: Ready): Promise<void> {
    if (rd.hardState !== undefined) this.#term = rd.hardState.term;
    if (rd.softState !== undefined) {
      this.#leading = rd.softState.raftState === "StateLeader";
      this.#handler.onSoftState(rd.softState, this.#term);
    }
    const early = this.#leading && this.#term === this.#durableTerm;
    const late = early ? this.#sendEarly(rd.messages) : rd.messages;
    const written = this.#write(rd);
    if (rd.readStates.length > 0) this.#handler.onReadStates(rd.readStates);
    if (rd.snapshot !== undefined) {
      await written;
      await this.#afterSnapshot?.();
      this.#afterSnapshot = undefined;
    }
    const mustWait = rd.committedEntries.length > 0 ? this.#handler.onCommitted(rd.committedEntries) : undefined;
    // A commit index alone promises nothing, and writes keep their order: no need to wait for it.
    if (rd.mustSync) {
      await written;
      this.#durableTerm = this.#term;
    }
    if (late.length > 0) this.#handler.send(late);
    await mustWait;
    this.node.advance(rd);
  }

  #afterSnapshot: (() => Promise<void>) | undefined;

  #sendEarly(messages: readonly Message[]): readonly Message[] {
    if (messages.length === 0) return messages;
    const late = messages.filter((m) => !EARLY.has(m.type));
    if (late.length === 0) this.#handler.send(messages);
    else this.#handler.send(messages.filter((m) => EARLY.has(m.type)));
    return late;
  }

  /** Writes what is applied and not yet in the store, without fsync. */
  flush(): Promise<void> {
    const taken = this.#handler.takeApplied();
    if (taken === undefined) return Promise.resolve();
    return this.#submit(this.#log.append([], this.#takeHardState()), taken, false);
  }

  #write(rd: Ready): Promise<void> | undefined {
    if (rd.hardState !== undefined) this.#unwritten = rd.hardState;
    if (rd.snapshot === undefined) {
      if (!rd.mustSync) return undefined;
      // The state applied so far goes along, instead of in a batch of its own that the next fsync would have to wait for.
      return this.#submit(this.#log.append(rd.entries, this.#takeHardState()), this.#handler.takeApplied(), true);
    }
    const { metadata } = rd.snapshot;
    const ops = this.#log.restart({ index: metadata.index, term: metadata.term });
    const install = this.#handler.onSnapshot(rd.snapshot);
    ops.push(...install.ops);
    this.#afterSnapshot = install.done;
    ops.push(...this.#log.append(rd.entries, this.#takeHardState()));
    return this.#submit(ops, undefined, true);
  }

  #takeHardState(): HardState | undefined {
    const hardState = this.#unwritten;
    this.#unwritten = undefined;
    return hardState;
  }

  #submit(ops: readonly WriteOp[], applied: TakenChanges | undefined, sync: boolean): Promise<void> {
    const written = this.#timed(applied === undefined ? ops : [...ops, ...applied.ops], sync).then(() =>
      applied?.written(),
    );
    written.catch((error: unknown) => this.#fail(error)); // also when nobody waits for it
    return written;
  }

  #fail(error: unknown): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.wake();
    this.#handler.onFailure(error);
  }

  async #timed(ops: readonly WriteOp[], sync: boolean): Promise<void> {
    const start = this.#nowMs();
    await this.#store.write(ops, { sync });
    this.#handler.onWriteTook(this.#nowMs() - start, sync);
  }
}
