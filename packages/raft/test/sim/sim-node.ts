import type { Prng } from "@keelson/testkit";
import {
  ConfChangeError,
  type ConfState,
  confChangeOf,
  EMPTY_SNAPSHOT,
  type Entry,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  type RaftConfig,
  type RaftStorage,
  RawNode,
  type ReadState,
  type Ready,
  type Snapshot,
} from "../../src/index.ts";
import type { Checker } from "./checker.ts";
import { NodeDisk } from "./node-disk.ts";
import { StateMachine } from "./state-machine.ts";

/** Ways to break a node, to see that the checker notices. */
export type Bug = "none" | "send-before-sync" | "forgets-vote" | "read-without-quorum";

export interface NodeSettings extends Omit<RaftConfig, "id" | "storage" | "random" | "applied"> {
  readonly bug: Bug;
}

/** What a node needs from around it. */
export interface World {
  readonly checker: Checker;
  send(m: Message): void;
  /** A line for the trace. */
  note(event: string, id: bigint, fields?: Readonly<Record<string, unknown>>): void;
}

interface Queued {
  readonly m: Message;
  readonly dueTick: number;
}

/** A machine: a RawNode while it is up, a disk that outlives it, and the loop between the two. */
export class SimNode {
  readonly id: bigint;
  readonly disk: NodeDisk;
  node: RawNode | undefined;
  state: StateMachine;
  restartTick = 0;
  readonly #settings: NodeSettings;
  readonly #rng: Prng;
  readonly #world: World;
  #tick = 0;
  /** The Ready that was written and not synced yet. */
  #inHand: { rd: Ready; dueTick: number } | undefined;
  #appends: Queued[] = [];
  #applies: Queued[] = [];

  constructor(id: bigint, first: Snapshot | undefined, settings: NodeSettings, rng: Prng, world: World) {
    this.id = id;
    this.disk = new NodeDisk(first);
    this.state = new StateMachine(first ?? EMPTY_SNAPSHOT);
    this.#settings = settings;
    this.#rng = rng;
    this.#world = world;
  }

  get isLeader(): boolean {
    return this.node?.basicStatus().raftState === "StateLeader";
  }

  start(): void {
    const snap = this.disk.live.snapshot();
    this.state = new StateMachine(snap);
    const { bug: _bug, ...config } = this.#settings;
    this.node = new RawNode({
      ...config,
      id: this.id,
      storage: this.#storage(),
      random: this.#rng,
      applied: snap.metadata.index,
    });
    this.#sabotage(this.node);
    this.#world.note("start", this.id, { index: snap.metadata.index, last: this.disk.live.lastIndex() });
  }

  /** The log on disk, and the newest state of the application as the snapshot: an older one may lack new members. */
  #storage(): RaftStorage {
    const { live } = this.disk;
    return {
      initialState: () => live.initialState(),
      firstIndex: () => live.firstIndex(),
      lastIndex: () => live.lastIndex(),
      term: (i) => live.term(i),
      entries: (lo, hi, maxBytes) => live.entries(lo, hi, maxBytes),
      snapshot: () => {
        if (this.#rng.chance(0.1)) return "temporarily-unavailable";
        const term = live.term(this.state.index);
        if (typeof term === "string") return live.snapshot();
        return {
          data: this.state.data(),
          metadata: { index: this.state.index, term, confState: this.state.confState },
        };
      },
    };
  }

  crash(): void {
    this.node = undefined;
    this.#inHand = undefined;
    this.#appends = [];
    this.#applies = [];
    this.disk.crash(this.#rng);
    this.#world.note("crash", this.id, { last: this.disk.live.lastIndex() });
  }

  receive(m: Message): void {
    if (this.node === undefined) return;
    this.node.step(m);
    this.#world.checker.node(this.id, this.node);
  }

  /** One tick of time, if the node's clock keeps up, and as much work as is due. */
  advance(clockTicks: boolean): void {
    this.#tick++;
    if (this.node === undefined) return;
    if (clockTicks) this.node.tick();
    this.#world.checker.node(this.id, this.node);
    if (this.#settings.asyncStorageWrites === true) this.#workAsync(this.node);
    else this.#workSync(this.node);
    if (this.node !== undefined) this.#world.checker.node(this.id, this.node);
  }

  #workSync(node: RawNode): void {
    if (this.#inHand === undefined) {
      if (!node.hasReady()) return;
      const rd = node.ready();
      this.#observeReads(rd.readStates);
      this.#store(rd.entries, rd.hardState, rd.snapshot);
      this.#inHand = { rd, dueTick: this.#tick + this.#rng.below(3) };
      if (this.#settings.bug === "send-before-sync") for (const m of rd.messages) this.#world.send(m);
    }
    const { rd, dueTick } = this.#inHand;
    if (dueTick > this.#tick) return;
    this.#inHand = undefined;
    if (this.#settings.bug !== "send-before-sync") {
      if (rd.mustSync || rd.snapshot !== undefined) this.disk.sync();
      for (const m of rd.messages) this.#world.send(m);
    }
    this.#apply(node, rd.committedEntries);
    node.advance(rd);
  }

  #workAsync(node: RawNode): void {
    while (node.hasReady()) {
      const rd = node.ready();
      this.#observeReads(rd.readStates);
      for (const m of rd.messages) {
        const queued = { m, dueTick: this.#tick + this.#rng.below(4) };
        if (m.to === LOCAL_APPEND_THREAD) this.#appends.push(queued);
        else if (m.to === LOCAL_APPLY_THREAD) this.#applies.push(queued);
        else this.#world.send(m);
      }
    }
    // In order, each as soon as it is due.
    while (this.#appends[0] !== undefined && this.#appends[0].dueTick <= this.#tick) {
      const { m } = this.#appends.shift() as Queued;
      const hardState = m.term > 0 ? { term: m.term, vote: m.vote, commit: m.commit } : undefined;
      this.#store(m.entries, hardState, m.snapshot);
      if (m.responses.length > 0 && this.#settings.bug !== "send-before-sync") this.disk.sync();
      this.#respond(m);
    }
    while (this.#applies[0] !== undefined && this.#applies[0].dueTick <= this.#tick) {
      const { m } = this.#applies.shift() as Queued;
      this.#apply(node, m.entries);
      this.#respond(m);
    }
  }

  #respond(m: Message): void {
    for (const resp of m.responses) {
      if (resp.to === this.id) this.receive(resp);
      else this.#world.send(resp);
    }
  }

  #store(entries: readonly Entry[], hardState: Ready["hardState"], snapshot: Snapshot | undefined): void {
    const [first] = entries;
    if (first !== undefined) this.#world.checker.stored(this.id, entries, this.#termBefore(first.index, snapshot));
    const forgets = this.#settings.bug === "forgets-vote" && hardState !== undefined;
    this.disk.write({ entries, hardState: forgets ? { ...hardState, vote: 0n } : hardState, snapshot });
    if (snapshot === undefined) return;
    this.state = new StateMachine(snapshot);
    this.#world.checker.restored(this.id, this.state.index, this.state.hash);
    this.#world.note("restored", this.id, { index: this.state.index });
  }

  #termBefore(index: number, snapshot: Snapshot | undefined): number | string {
    return snapshot?.metadata.index === index - 1 ? snapshot.metadata.term : this.disk.live.term(index - 1);
  }

  #apply(node: RawNode, entries: readonly Entry[]): void {
    for (const e of entries) {
      // A snapshot may have overtaken entries that were handed out before.
      if (e.index <= this.state.index) continue;
      if (e.index !== this.state.index + 1) throw new Error(`${this.id} skips from ${this.state.index} to ${e.index}`);
      const cc = confChangeOf(e);
      if (cc !== undefined) {
        try {
          this.state.confState = node.applyConfChange(cc, e.index);
          this.#world.note("membership", this.id, { index: e.index, voters: this.state.confState.voters.join() });
        } catch (error) {
          // Refused everywhere alike, as it depends on the configuration alone.
          if (!(error instanceof ConfChangeError)) throw error;
        }
      }
      this.state.apply(e.index, e.data);
      this.#world.checker.applied(this.id, node.basicStatus().term, e, this.state.hash);
    }
  }

  /** Takes a snapshot of the application, and forgets a part of the log that it covers. */
  snapshotAndCompact(): void {
    if (this.node === undefined) return;
    const { index } = this.state;
    const { live } = this.disk;
    // A restart must find a commit index that covers the snapshot.
    if (index <= live.snapshot().metadata.index || index > live.lastIndex() || index > this.disk.durableCommit) return;
    const newest = Math.min(index, this.node.basicStatus().applied);
    const compactTo = live.firstIndex() + this.#rng.below(Math.max(1, newest - live.firstIndex() + 1));
    this.disk.write({ own: { index, confState: this.state.confState, data: this.state.data() } });
    if (compactTo <= newest) this.disk.write({ compactTo });
    this.disk.sync();
    this.#world.note("compact", this.id, { index, firstIndex: live.firstIndex() });
  }

  isMember(cs: ConfState): boolean {
    return [...cs.voters, ...cs.votersOutgoing, ...cs.learners].includes(this.id);
  }

  #observeReads(reads: readonly ReadState[]): void {
    for (const { context, index } of reads) {
      this.#world.checker.readAnswered(this.id, new TextDecoder().decode(context), index);
    }
  }

  #sabotage(node: RawNode): void {
    const r = RawNode.raftOf(node);
    if (this.#settings.bug === "read-without-quorum") {
      Object.defineProperty(r, "committedInCurrentTerm", { value: true });
      Object.defineProperty(r.tracker, "isSingleton", { value: true });
    }
  }
}
