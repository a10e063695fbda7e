import {
  asV2,
  type ConfState,
  confChangeOf,
  describeEntries,
  describeMessage,
  describeReady,
  EMPTY_SNAPSHOT,
  type Entry,
  isEmptyHardState,
  isEmptySnapshot,
  isLocalTarget,
  MemoryStorage,
  type Message,
  type RaftConfig,
  RawNode,
  type Snapshot,
  type StepOutcome,
} from "../../src/index.ts";
import { Output } from "./output.ts";

/** An outcome that the scripts print: what upstream returns as an error. */
export class EnvError extends Error {}

/** A storage whose snapshot is always the newest state of the application. */
class ScriptStorage extends MemoryStorage {
  readonly #history: readonly Snapshot[];

  constructor(history: readonly Snapshot[]) {
    super();
    this.#history = history;
  }

  override snapshot(): Snapshot {
    return this.#history.at(-1) ?? EMPTY_SNAPSHOT;
  }
}

export interface EnvNode {
  readonly node: RawNode;
  readonly storage: MemoryStorage;
  readonly config: RaftConfig;
  readonly appendWork: Message[];
  readonly applyWork: Message[];
  /** The application's state after each entry: it appends all data it is given. */
  readonly history: Snapshot[];
}

export interface Recipient {
  readonly id: bigint;
  readonly drop: boolean;
}

const OUTCOME_TEXT: Readonly<Record<StepOutcome, string>> = {
  ok: "",
  "proposal-dropped": "raft proposal dropped",
  "local-message": "raft: cannot step raft local message",
  "peer-not-found": "raft: cannot step as peer not found",
  malformed: "malformed message",
};

/** Throws what upstream would return as an error. */
export function expectOk(outcome: StepOutcome): void {
  if (outcome !== "ok") throw new EnvError(OUTCOME_TEXT[outcome]);
}

/** A group of nodes with their storage and the messages between them (upstream: rafttest/interaction_env.go). */
export class Env {
  readonly output = new Output();
  readonly nodes: EnvNode[] = [];
  messages: Message[] = [];

  addNodes(count: number, options: Omit<RaftConfig, "id" | "storage" | "random" | "logger">, snap: Snapshot): void {
    const { index, confState } = snap.metadata;
    const bootstrap = index !== 0 || snap.data.length > 0 || hasMembers(confState);
    for (let i = 0; i < count; i++) {
      const first: Snapshot = bootstrap ? { ...snap, metadata: { ...snap.metadata, term: 1 } } : snap;
      const history = [first];
      const storage = new ScriptStorage(history);
      if (bootstrap) {
        if (index <= 1) throw new EnvError("index must be specified as > 1 due to bootstrap");
        storage.applySnapshot(first);
      }
      const config: RaftConfig = {
        ...options,
        id: BigInt(this.nodes.length + 1),
        storage,
        // Scripts that depend on the timeout set it.
        random: { below: (bound) => Math.floor(bound / 2), u64: () => 0n },
        logger: this.output,
      };
      this.nodes.push({ node: new RawNode(config), storage, config, appendWork: [], applyWork: [], history });
    }
  }

  at(index: number): EnvNode {
    const n = this.nodes[index];
    if (n === undefined) throw new Error(`the script names node ${index + 1}, which was not added`);
    return n;
  }

  processReady(index: number): void {
    const n = this.at(index);
    const rd = n.node.ready();
    this.output.write(describeReady(rd));
    const async = n.config.asyncStorageWrites === true;
    if (!async) {
      store(n, rd.hardState, rd.entries, rd.snapshot);
      apply(n, rd.committedEntries);
    }
    for (const m of rd.messages) {
      if (!isLocalTarget(m.to)) this.messages.push(m);
      else if (m.type === "MsgStorageAppend") n.appendWork.push(m);
      else n.applyWork.push(m);
    }
    if (!async) n.node.advance(rd);
  }

  processAppendThread(index: number): void {
    const n = this.at(index);
    const m = n.appendWork.shift();
    if (m === undefined) {
      this.output.write("no append work to perform");
      return;
    }
    this.#process(m, () => store(n, { term: m.term, vote: m.vote, commit: m.commit }, m.entries, m.snapshot));
  }

  processApplyThread(index: number): void {
    const n = this.at(index);
    const m = n.applyWork.shift();
    if (m === undefined) {
      this.output.write("no apply work to perform");
      return;
    }
    this.#process(m, () => apply(n, m.entries));
  }

  #process(m: Message, work: () => void): void {
    this.output.write(`Processing:\n${describeMessage({ ...m, responses: [] })}\n`);
    work();
    this.output.write("Responses:\n");
    for (const resp of m.responses) this.output.write(`${describeMessage(resp)}\n`);
    this.messages.push(...m.responses);
  }

  /** Delivers or drops the messages for each recipient; returns how many there were. */
  deliver(type: string | undefined, recipients: readonly Recipient[]): number {
    let count = 0;
    for (const { id, drop } of recipients) {
      const [mine, rest] = split(this.messages, id, type, drop);
      this.messages = rest;
      count += mine.length;
      for (const m of mine) {
        this.output.write(`${drop ? "dropped: " : ""}${describeMessage(m)}\n`);
        if (drop) continue;
        const outcome = this.at(Number(m.to - 1n)).node.step(m);
        if (outcome !== "ok") this.output.write(`${OUTCOME_TEXT[outcome]}\n`);
      }
    }
    return count;
  }

  /** Everything that the nodes can do among themselves, until nothing is left. */
  stabilize(indexes: readonly number[]): void {
    const chosen = indexes.length > 0 ? indexes : this.nodes.map((_, i) => i);
    for (let done = false; !done; ) {
      done = true;
      for (const i of chosen) {
        if (!this.at(i).node.hasReady()) continue;
        this.#section(`${i + 1} handling Ready`, () => this.processReady(i));
        done = false;
      }
      for (const i of chosen) {
        const id = BigInt(i + 1);
        if (split(this.messages, id, undefined, false)[0].length === 0) continue;
        this.#section(`${i + 1} receiving messages`, () => this.deliver(undefined, [{ id, drop: false }]));
        done = false;
      }
      for (const i of chosen) {
        if (this.at(i).appendWork.length === 0) continue;
        this.output.write(`> ${i + 1} processing append thread\n`);
        while (this.at(i).appendWork.length > 0) this.output.indented(() => this.processAppendThread(i));
        done = false;
      }
      for (const i of chosen) {
        if (this.at(i).applyWork.length === 0) continue;
        this.output.write(`> ${i + 1} processing apply thread\n`);
        while (this.at(i).applyWork.length > 0) this.output.indented(() => this.processApplyThread(i));
        done = false;
      }
    }
  }

  #section(title: string, fn: () => void): void {
    this.output.write(`> ${title}\n`);
    this.output.indented(fn);
  }

  raftLog(index: number): void {
    const s = this.at(index).storage;
    const first = s.firstIndex();
    const last = s.lastIndex();
    if (last < first) {
      this.output.write(`log is empty: first index=${first}, last index=${last}`);
      return;
    }
    const entries = s.entries(first, last + 1, Number.POSITIVE_INFINITY);
    if (typeof entries === "string") throw new EnvError(entries);
    this.output.write(describeEntries(entries));
  }
}

function hasMembers(cs: ConfState): boolean {
  return cs.voters.length + cs.learners.length > 0;
}

function split(
  messages: readonly Message[],
  to: bigint,
  type: string | undefined,
  drop: boolean,
): [mine: Message[], rest: Message[]] {
  const mine: Message[] = [];
  const rest: Message[] = [];
  for (const m of messages) {
    // A machine does not lose what it tells itself.
    const local = m.from === m.to || isLocalTarget(m.from) || isLocalTarget(m.to);
    const wanted = m.to === to && !(drop && local) && (type === undefined || m.type === type);
    (wanted ? mine : rest).push(m);
  }
  return [mine, rest];
}

function store(
  n: EnvNode,
  hardState: Parameters<MemoryStorage["setHardState"]>[0] | undefined,
  entries: readonly Entry[],
  snap: Snapshot | undefined,
): void {
  if (hardState !== undefined && !isEmptyHardState(hardState)) n.storage.setHardState(hardState);
  if (snap !== undefined && !isEmptySnapshot(snap)) {
    if (entries.length > 0) throw new EnvError("can't apply snapshot and entries at the same time");
    n.storage.applySnapshot(snap);
    return;
  }
  n.storage.append(entries);
}

function apply(n: EnvNode, entries: readonly Entry[]): void {
  for (const e of entries) {
    const cc = confChangeOf(e);
    const update = cc === undefined ? e.data : asV2(cc).context;
    const changed = cc === undefined ? undefined : n.node.applyConfChange(cc);
    const last = n.history.at(-1) ?? EMPTY_SNAPSHOT;
    n.history.push({
      data: Uint8Array.of(...last.data, ...update),
      metadata: { index: e.index, term: e.term, confState: changed ?? last.metadata.confState },
    });
  }
}
