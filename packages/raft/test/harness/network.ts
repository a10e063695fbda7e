import {
  asV2,
  type ConfState,
  confChangeOf,
  type Entry,
  MemoryStorage,
  type Message,
  type MessageType,
  NONE,
  newMessage,
  type RaftConfig,
  RawNode,
  type ReadState,
} from "../../src/index.ts";
import type { Raft } from "../../src/raft.ts";

/** The longest election timeout: tests decide who campaigns. */
const LATE = { below: (bound: number) => bound - 1, u64: () => 0n };

export function confStateOf(voters: readonly bigint[], learners: readonly bigint[] = []): ConfState {
  return { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false };
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function text(data: Uint8Array): string {
  return new TextDecoder().decode(data);
}

/** Entries with the given terms, starting at index `first`. */
export function entriesOfTerms(first: number, terms: readonly number[]): Entry[] {
  return terms.map((term, i) => ({ term, index: first + i, type: "EntryNormal", data: new Uint8Array(0) }));
}

/** A message of one type with some fields set. */
export function message(type: MessageType, from: bigint, to: bigint, fields: Partial<Message> = {}): Message {
  return { ...newMessage(type, to), from, ...fields };
}

export interface NodeOptions extends Partial<Omit<RaftConfig, "id" | "storage">> {
  readonly voters?: readonly bigint[];
  readonly learners?: readonly bigint[];
  /** Terms of the entries that are in stable storage, from index 1. */
  readonly terms?: readonly number[];
  readonly term?: number;
  readonly vote?: bigint;
  readonly commit?: number;
}

/** One node with storage in memory. Its membership is that of a snapshot at index 0. */
export class TestNode {
  readonly storage = new MemoryStorage();
  readonly node: RawNode;
  readonly id: bigint;
  readonly applied: Entry[] = [];
  readonly reads: ReadState[] = [];

  constructor(id: bigint, options: NodeOptions = {}) {
    const { voters = [1n, 2n, 3n], learners = [], terms = [], term = 0, vote = NONE, commit = 0, ...config } = options;
    this.id = id;
    this.storage.applySnapshot({
      data: new Uint8Array(0),
      metadata: { index: 0, term: 0, confState: confStateOf(voters, learners) },
    });
    this.storage.append(entriesOfTerms(1, terms));
    if (term > 0) this.storage.setHardState({ term, vote, commit });
    this.node = new RawNode({
      electionTick: 10,
      heartbeatTick: 1,
      random: LATE,
      maxSizePerMsg: Number.POSITIVE_INFINITY,
      ...config,
      id,
      storage: this.storage,
    });
  }

  get raft(): Raft {
    return RawNode.raftOf(this.node);
  }

  get state(): string {
    return this.raft.state;
  }

  /** Stores, applies and acknowledges everything; returns what is to be sent. */
  work(): Message[] {
    const sent: Message[] = [];
    while (this.node.hasReady()) {
      const rd = this.node.ready();
      if (rd.snapshot !== undefined) this.storage.applySnapshot(rd.snapshot);
      if (rd.hardState !== undefined) this.storage.setHardState(rd.hardState);
      this.storage.append(rd.entries);
      for (const e of rd.committedEntries) {
        const cc = confChangeOf(e);
        if (cc !== undefined) this.node.applyConfChange(asV2(cc));
        this.applied.push(e);
      }
      this.reads.push(...rd.readStates);
      sent.push(...rd.messages);
      this.node.advance(rd);
    }
    return sent;
  }

  tick(times: number): Message[] {
    const sent: Message[] = [];
    for (let i = 0; i < times; i++) {
      this.node.tick();
      sent.push(...this.work());
    }
    return sent;
  }

  /** Feeds a message and returns the answers. */
  receive(m: Message): Message[] {
    this.node.step(m);
    return this.work();
  }

  /** The terms of the whole log after what was compacted. */
  terms(): number[] {
    const log = this.raft.log;
    const out: number[] = [];
    for (let i = log.firstIndex(); i <= log.lastIndex(); i++) out.push(log.termOrZero(i));
    return out;
  }
}

/** Nodes and the messages between them, delivered at once and in order, except those that `drop` picks. */
export class TestNetwork {
  readonly nodes = new Map<bigint, TestNode>();
  drop: (m: Message) => boolean = () => false;
  readonly delivered: Message[] = [];

  constructor(nodes: readonly TestNode[]) {
    for (const n of nodes) this.nodes.set(n.id, n);
  }

  static of(count: number, options: NodeOptions = {}): TestNetwork {
    const voters = Array.from({ length: count }, (_, i) => BigInt(i + 1));
    return new TestNetwork(voters.map((id) => new TestNode(id, { voters, ...options })));
  }

  at(id: number): TestNode {
    const n = this.nodes.get(BigInt(id));
    if (n === undefined) throw new Error(`no node ${id}`);
    return n;
  }

  cut(...ids: number[]): void {
    const cut = new Set(ids.map(BigInt));
    this.drop = (m) => cut.has(m.to) !== cut.has(m.from) || (cut.has(m.to) && cut.has(m.from));
  }

  heal(): void {
    this.drop = () => false;
  }

  /** Runs until nobody has anything to say. */
  settle(first: readonly Message[] = []): void {
    const queue = [...first];
    for (let again = true; again; ) {
      again = false;
      for (const n of this.nodes.values()) queue.push(...n.work());
      while (queue.length > 0) {
        const m = queue.shift() as Message;
        if (this.drop(m)) continue;
        this.delivered.push(m);
        const n = this.nodes.get(m.to);
        if (n !== undefined) queue.push(...n.receive(m));
        again = true;
      }
    }
  }

  campaign(id: number): void {
    this.at(id).node.campaign();
    this.settle();
  }

  propose(id: number, data: string): void {
    this.at(id).node.propose(bytes(data));
    this.settle();
  }

  tick(id: number, times = 1): void {
    for (let i = 0; i < times; i++) this.settle(this.at(id).tick(1));
  }

  states(): string[] {
    return [...this.nodes.values()].map((n) => n.state.replace("State", ""));
  }
}
