// Three nodes in one process, storage in memory: what the algorithm itself costs per entry.
//   node packages/raft/bench/replicate.ts [entries] [bytes per entry] [entries per batch]
import { MemoryStorage, type Message, RawNode } from "../src/index.ts";

const [total = 300_000, size = 256, batch = 100] = process.argv.slice(2).map(Number);
const ROUNDS = 5;
const IDS = [1n, 2n, 3n];
const COMPACT_EVERY = 10_000;

interface Member {
  readonly node: RawNode;
  readonly storage: MemoryStorage;
  applied: number;
}

function start(id: bigint, draw: number): Member {
  const storage = new MemoryStorage();
  const confState = { voters: IDS, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
  storage.applySnapshot({ data: new Uint8Array(0), metadata: { index: 0, term: 0, confState } });
  const random = { below: () => draw, u64: () => 0n };
  const node = new RawNode({
    id,
    storage,
    random,
    electionTick: 10,
    heartbeatTick: 1,
    checkQuorum: true,
    preVote: true,
  });
  return { node, storage, applied: 0 };
}

function work(m: Member, network: Message[]): void {
  while (m.node.hasReady()) {
    const rd = m.node.ready();
    if (rd.hardState !== undefined) m.storage.setHardState(rd.hardState);
    m.storage.append(rd.entries);
    for (const message of rd.messages) network.push(message);
    m.applied = rd.committedEntries.at(-1)?.index ?? m.applied;
    m.node.advance(rd);
    if (m.applied - m.storage.firstIndex() > 2 * COMPACT_EVERY) m.storage.compact(m.applied - COMPACT_EVERY);
  }
}

function run(): number {
  const members = new Map(IDS.map((id, i) => [id, start(id, i)]));
  const leader = members.get(1n) as Member;
  const settle = (): void => {
    let network: Message[] = [];
    for (;;) {
      for (const m of members.values()) work(m, network);
      if (network.length === 0) return;
      const now = network;
      network = [];
      for (const message of now) members.get(message.to)?.node.step(message);
    }
  };
  leader.node.campaign();
  settle();
  const data = new Uint8Array(size);
  const begin = performance.now();
  for (let done = 0; done < total; done += batch) {
    for (let i = 0; i < batch; i++) leader.node.propose(data);
    settle();
  }
  const seconds = (performance.now() - begin) / 1000;
  if (leader.applied < total) throw new Error(`only ${leader.applied} of ${total} entries were applied`);
  return total / seconds;
}

const rates = Array.from({ length: ROUNDS }, run).toSorted((a, b) => a - b);
const show = (n: number | undefined): string => Math.round(n ?? 0).toLocaleString("en");
console.log(
  `3 nodes, ${size} B, ${batch} proposals in flight: median ${show(rates[2])} entries/s (${show(rates[0])} to ${show(rates.at(-1))})`,
);
