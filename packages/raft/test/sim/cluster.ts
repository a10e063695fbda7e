import type { Prng } from "@keelson/testkit";
import {
  type ConfChangeSingle,
  type ConfChangeType,
  type ConfState,
  confChange,
  type Message,
  RawNode,
  type Snapshot,
} from "../../src/index.ts";
import { jointVote } from "../../src/quorum/joint.ts";
import { Checker } from "./checker.ts";
import { Network } from "./network.ts";
import { type Bug, type NodeSettings, SimNode, type World } from "./sim-node.ts";

/** Where the trace goes. */
export interface TraceSink {
  add(event: { readonly t?: number; readonly type: string; readonly [field: string]: unknown }): void;
}

const MEMBERS_MAX = 7;
const ELECTION_TICKS = 12;

/** How rough the safety phase is; chances are per tick. */
interface Weather {
  readonly crash: number;
  /** Leaders fail more often than others. */
  readonly crashLeader: number;
  readonly partition: number;
  readonly heal: number;
  readonly propose: number;
  readonly read: number;
  readonly reconfigure: number;
  readonly transfer: number;
  readonly compact: number;
  /** A node's clock skips a tick. */
  readonly lag: number;
}

/** A cluster under a seed: machines, the network between them, clients, and faults. */
export class SimCluster {
  readonly checker = new Checker();
  readonly settings: NodeSettings;
  readonly #rng: Prng;
  readonly #trace: TraceSink;
  readonly #network: Network;
  readonly #nodes = new Map<bigint, SimNode>();
  readonly #weather: Weather;
  /** Reports of snapshots that arrived or got lost, due at a tick. */
  #reports: { dueTick: number; on: bigint; about: bigint; ok: boolean }[] = [];
  #tick = 0;
  #sequence = 0;

  constructor(rng: Prng, trace: TraceSink, bug: Bug = "none") {
    this.#rng = rng;
    this.#trace = trace;
    this.settings = drawSettings(rng, bug);
    this.#weather = drawWeather(rng, bug);
    this.#network = new Network(rng.fork("network"), {
      loss: rng.pick([0, 0.02, 0.1, 0.3]),
      duplication: rng.pick([0, 0.05]),
      delayMax: rng.pick([1, 3, 6]),
    });
    const count = rng.pick([1, 3, 3, 5, 5]);
    const voters = Array.from({ length: count }, (_, i) => BigInt(i + 1));
    const first: Snapshot = {
      data: new Uint8Array(4),
      metadata: {
        index: 1,
        term: 1,
        confState: { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
      },
    };
    for (let i = 1; i <= MEMBERS_MAX; i++) {
      const id = BigInt(i);
      const world: World = {
        checker: this.checker,
        send: (m) => this.#send(m),
        note: (t, n, f) => this.#note(t, n, f),
      };
      const node = new SimNode(id, i <= count ? first : undefined, this.settings, rng.fork(i), world);
      this.#nodes.set(id, node);
      node.start();
    }
    this.#note("settings", 0n, { ...this.settings, voters: count, network: this.#network.options });
  }

  /** One tick of the safety phase: anything may fail. */
  rough(): void {
    this.#faults();
    this.#clients();
    this.#step(this.#weather.lag);
  }

  #faults(): void {
    const rng = this.#rng;
    const w = this.#weather;
    for (const n of this.#nodes.values()) {
      if (n.node !== undefined && rng.chance(n.isLeader ? w.crashLeader : w.crash)) this.#crash(n, rng.between(1, 40));
      if (n.node !== undefined && rng.chance(w.compact)) n.snapshotAndCompact();
    }
    if (rng.chance(w.partition)) this.#partition();
    if (rng.chance(w.heal)) {
      this.#network.heal();
      this.#note("heal", 0n);
    }
  }

  #crash(n: SimNode, downTicks: number): void {
    n.crash();
    n.restartTick = this.#tick + downTicks;
  }

  #partition(): void {
    const ids = this.#rng.shuffle([...this.#nodes.keys()]);
    const side = ids.slice(0, this.#rng.between(1, ids.length - 1));
    const oneWay = this.#rng.chance(0.3);
    for (const a of side) {
      for (const b of ids.filter((id) => !side.includes(id))) {
        this.#network.cut(a, b);
        if (!oneWay) this.#network.cut(b, a);
      }
    }
    this.#note("partition", 0n, { side: side.join(), oneWay });
  }

  #clients(): void {
    const rng = this.#rng;
    const w = this.#weather;
    const up = [...this.#nodes.values()].filter((n) => n.node !== undefined);
    if (up.length === 0) return;
    const node = rng.pick(up);
    if (rng.chance(w.propose)) this.#propose(node, `p${this.#sequence++}`);
    if (rng.chance(w.read)) {
      const context = `r${this.#sequence++}`;
      this.checker.readStarted(context);
      node.node?.readIndex(new TextEncoder().encode(context));
    }
    if (rng.chance(w.reconfigure)) this.#reconfigure(node);
    if (rng.chance(w.transfer)) node.node?.transferLeader(BigInt(rng.between(1, MEMBERS_MAX)));
    if (rng.chance(w.transfer / 2)) node.node?.forgetLeader();
    if (rng.chance(w.transfer / 2)) node.node?.campaign();
  }

  #propose(n: SimNode, data: string): void {
    n.node?.propose(new TextEncoder().encode(data));
  }

  #reconfigure(n: SimNode): void {
    const rng = this.#rng;
    const types: ConfChangeType[] = [
      "ConfChangeAddNode",
      "ConfChangeAddNode",
      "ConfChangeAddLearnerNode",
      "ConfChangeRemoveNode",
    ];
    const changes = Array.from(
      { length: rng.pick([0, 1, 1, 2, 3]) },
      (): ConfChangeSingle => ({ type: rng.pick(types), nodeId: BigInt(rng.between(1, MEMBERS_MAX)) }),
    );
    const transition = rng.pick([
      "ConfChangeTransitionAuto",
      "ConfChangeTransitionAuto",
      "ConfChangeTransitionJointImplicit",
      "ConfChangeTransitionJointExplicit",
    ] as const);
    const cc = confChange({ changes, transition: changes.length === 0 ? "ConfChangeTransitionAuto" : transition });
    if (changes.length === 1 && rng.chance(0.3)) {
      const [only] = changes as [ConfChangeSingle];
      n.node?.proposeConfChange({ ...only, context: new Uint8Array(0), id: 0n });
    } else {
      n.node?.proposeConfChange(cc);
    }
  }

  #send(m: Message): void {
    const arrives = this.#network.send(m);
    if (m.type === "MsgSnap") {
      const dueTick = this.#tick + this.#rng.between(2, 10);
      this.#reports.push({ dueTick, on: m.from, about: m.to, ok: arrives });
    } else if (!arrives && this.#rng.chance(0.2)) {
      this.#nodes.get(m.from)?.node?.reportUnreachable(m.to);
    }
  }

  #step(lag: number): void {
    this.#tick++;
    for (const m of this.#network.advance()) this.#nodes.get(m.to)?.receive(m);
    for (const { on, about, ok } of this.#reports.filter((r) => r.dueTick <= this.#tick)) {
      this.#nodes.get(on)?.node?.reportSnapshot(about, ok);
    }
    this.#reports = this.#reports.filter((r) => r.dueTick > this.#tick);
    for (const n of this.#nodes.values()) {
      if (n.node === undefined && n.restartTick <= this.#tick) n.start();
      n.advance(!this.#rng.chance(lag));
      // A leader that was removed and does not step down is to be shut down by its operator.
      if (n.isLeader && !n.isMember(n.state.confState)) this.#crash(n, 5);
    }
  }

  /** All faults end. */
  calm(): void {
    this.#network.heal();
    this.#network.options = { loss: 0, duplication: 0, delayMax: 2 };
    for (const n of this.#nodes.values()) n.restartTick = 0;
    this.#note("calm", 0n);
  }

  /** One tick of the liveness phase. */
  quiet(): void {
    this.#step(0);
    const leader = this.#settledLeader();
    if (leader === undefined) return;
    const { confState } = leader.state;
    for (const n of this.#nodes.values()) {
      // The operator stops machines that are not members; they would go on asking for votes.
      if (n.isMember(confState)) {
        n.restartTick = 0;
        continue;
      }
      if (n.node !== undefined) n.crash();
      n.restartTick = Number.POSITIVE_INFINITY;
    }
    if (this.#tick % 20 !== 0) return;
    if (confState.votersOutgoing.length > 0 && !confState.autoLeave) leader.node?.proposeConfChange(confChange());
    else this.#propose(leader, `q${this.#sequence++}`);
  }

  /** A leader that has committed in its term and knows it. */
  #settledLeader(): SimNode | undefined {
    return [...this.#nodes.values()]
      .filter((n) => n.node !== undefined && n.isLeader && RawNode.raftOf(n.node).committedInCurrentTerm)
      .toSorted((a, b) => (b.node?.basicStatus().term ?? 0) - (a.node?.basicStatus().term ?? 0))[0];
  }

  /** Whether every member of the current configuration has applied what was committed at `goal` or later. */
  converged(goal: number): boolean {
    const leader = this.#settledLeader();
    if (leader === undefined || leader.state.index < goal) return false;
    const { confState } = leader.state;
    return [...this.#nodes.values()].every((n) => !n.isMember(confState) || n.state.index >= goal);
  }

  /**
   * Whether anyone could win an election, by the configuration that it knows and everyone's logs.
   *
   * It can be that nobody can, by design of the algorithm (as upstream has it): changes take effect when they are
   * applied, so a member that has not heard that a voter was removed still needs that voter's vote; and a removed leader
   * refuses it if it had appended more before it stepped down. An operator must not remove a leader from so small a group.
   */
  electable(): boolean {
    const rafts = new Map(
      [...this.#nodes].map(([id, n]) => [id, n.node === undefined ? undefined : RawNode.raftOf(n.node)]),
    );
    return [...rafts.values()].some((r) => {
      if (r === undefined || !r.promotable) return false;
      const last = r.log.lastId();
      const votes = new Map(
        r.tracker.voterIds().map((id) => [id, rafts.get(id)?.log.isUpToDate(last.term, last.index) === true]),
      );
      return jointVote(r.tracker.config.voters, votes) === "VoteWon";
    });
  }

  /** The index that progress is measured from. */
  get committed(): number {
    return this.checker.committed;
  }

  describe(): string {
    return [...this.#nodes.values()]
      .map((n) => {
        const st = n.node?.basicStatus();
        return `${n.id} ${st?.raftState ?? "down"} term=${st?.term} commit=${st?.commit} applied=${n.state.index} ${show(n.state.confState)}`;
      })
      .join("\n");
  }

  #note(type: string, id: bigint, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#trace.add({ t: this.#tick, type, ...(id === 0n ? undefined : { id }), ...fields });
  }
}

function show(cs: ConfState): string {
  return `(${cs.voters.join(" ")})&&(${cs.votersOutgoing.join(" ")}) learners=(${cs.learners.join(" ")})`;
}

function drawSettings(rng: Prng, bug: Bug): NodeSettings {
  return {
    bug,
    electionTick: ELECTION_TICKS,
    heartbeatTick: rng.pick([1, 3]),
    preVote: rng.chance(0.5),
    checkQuorum: rng.chance(0.5),
    asyncStorageWrites: rng.chance(0.5),
    stepDownOnRemoval: rng.chance(0.5),
    maxSizePerMsg: rng.pick([0, 40, 1_000_000]),
    maxCommittedSizePerReady: rng.pick([30, 1_000_000]),
    maxInflightMsgs: rng.pick([1, 4, 256]),
    maxUncommittedEntriesSize: rng.pick([0, 50]),
  };
}

function drawWeather(rng: Prng, bug: Bug): Weather {
  const crash = rng.pick([0, 0.002, 0.01]);
  const crashLeader = rng.pick([crash, crash, 0.02, 0.06]);
  return {
    crash: bug === "none" ? crash : 0.01,
    crashLeader: bug === "none" ? crashLeader : 0.06,
    partition: rng.pick([0, 0.01, 0.03]),
    heal: 0.03,
    propose: rng.pick([0.05, 0.3, 0.9]),
    read: rng.pick([0, 0.1]),
    reconfigure: bug === "none" ? rng.pick([0, 0.01, 0.05]) : 0,
    transfer: rng.pick([0, 0.01, 0.05]),
    compact: rng.pick([0, 0.01, 0.05]),
    lag: rng.pick([0, 0.1]),
  };
}
