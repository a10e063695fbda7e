import {
  type AnyConfChange,
  CompactedError,
  ConfChangeError,
  type ConfChangeTransition,
  confChange,
  describeMessage,
  describeProgress,
  newMessage,
  parseConfChanges,
  type RaftConfig,
  RawNode,
  type ReadOnlyOption,
  type Snapshot,
  SnapshotOutOfDateError,
} from "../../src/index.ts";
import { jointIds } from "../../src/quorum/joint.ts";
import { sortedIds } from "../../src/quorum/majority.ts";
import { MESSAGE_TYPES } from "../../src/types.ts";
import { type Command, parseBool, parseUint, ScriptError, valueOf, valuesOf } from "./datadriven.ts";
import { type Env, EnvError, expectOk, type Recipient } from "./env.ts";
import { LEVELS } from "./output.ts";

type Handler = (env: Env, c: Command) => void;

/** The commands of upstream's interaction tests (rafttest/interaction_env_handler*.go). */
const HANDLERS: Readonly<Record<string, Handler>> = {
  _breakpoint: () => {},
  "add-nodes": addNodes,
  campaign: (env, c) => env.at(firstNode(c)).node.campaign(),
  compact: (env, c) => {
    env.at(firstNode(c)).storage.compact(Number(parseUint(c, bare(c, 1))));
    env.raftLog(firstNode(c));
  },
  "deliver-msgs": deliver,
  "process-ready": (env, c) => forEachNode(env, c, "handling Ready", (i) => env.processReady(i)),
  "process-append-thread": (env, c) =>
    forEachNode(env, c, "processing append thread", (i) => env.processAppendThread(i)),
  "process-apply-thread": (env, c) => forEachNode(env, c, "processing apply thread", (i) => env.processApplyThread(i)),
  "log-level": (env, c) => setLevel(env, bare(c, 0)),
  "raft-log": (env, c) => env.raftLog(firstNode(c)),
  "raft-state": raftState,
  "set-randomized-election-timeout": (env, c) => {
    const timeout = Number(parseUint(c, required(c, "timeout")));
    RawNode.raftOf(env.at(firstNode(c)).node).randomizedElectionTimeout = timeout;
  },
  stabilize,
  status: (env, c) => {
    const { progress } = env.at(firstNode(c)).node.status();
    for (const id of sortedIds(progress.keys())) {
      const pr = progress.get(id);
      if (pr !== undefined) env.output.write(`${id}: ${describeProgress(pr)}\n`);
    }
  },
  "tick-election": (env, c) => tick(env, c, "electionTick"),
  "tick-heartbeat": (env, c) => tick(env, c, "heartbeatTick"),
  "transfer-leadership": (env, c) => {
    const from = Number(parseUint(c, required(c, "from")));
    const to = parseUint(c, required(c, "to"));
    if (to === 0n || to > BigInt(env.nodes.length))
      throw new ScriptError(`${c.position}: expected valid "to" argument`);
    env.at(from - 1).node.transferLeader(to);
  },
  "forget-leader": (env, c) => env.at(firstNode(c)).node.forgetLeader(),
  "send-snapshot": sendSnapshot,
  propose: (env, c) => {
    if (c.args.length !== 2) throw new ScriptError(`${c.position}: expected a node and data`);
    expectOk(env.at(firstNode(c)).node.propose(new TextEncoder().encode(bare(c, 1))));
  },
  "propose-conf-change": (env, c) => expectOk(env.at(firstNode(c)).node.proposeConfChange(readConfChange(c))),
  "report-unreachable": (env, c) => {
    const [on, about] = nodes(c);
    if (on === undefined || about === undefined || nodes(c).length !== 2) {
      throw new EnvError("must specify exactly two node indexes: node on which to report, and reported node");
    }
    env.at(on).node.reportUnreachable(env.at(about).config.id);
  },
};

/** Runs one command and returns what it printed, or `ok`. */
export function runInteractionCommand(env: Env, c: Command): string {
  env.output.take();
  try {
    const handler = HANDLERS[c.name];
    if (handler === undefined) throw new EnvError("unknown command");
    handler(env, c);
  } catch (error) {
    if (!isExpected(error)) throw error;
    if (env.output.quiet) return error.message;
    env.output.write(error.message);
  }
  const text = env.output.take();
  return text === "" ? "ok" : text;
}

function isExpected(error: unknown): error is Error {
  return (
    error instanceof EnvError ||
    error instanceof ConfChangeError ||
    error instanceof CompactedError ||
    error instanceof SnapshotOutOfDateError
  );
}

function addNodes(env: Env, c: Command): void {
  const ids = (key: string): bigint[] => valuesOf(c, key).map((v) => parseUint(c, v));
  const number = (key: string): number | undefined => {
    const v = valueOf(c, key);
    return v === undefined ? undefined : Number(parseUint(c, v));
  };
  const flag = (key: string): boolean => parseBool(c, valueOf(c, key) ?? "false");
  const index = number("index") ?? 0;
  const snap: Snapshot = {
    data: new TextEncoder().encode(valueOf(c, "content") ?? ""),
    metadata: {
      index,
      term: 0,
      confState: {
        voters: ids("voters"),
        learners: ids("learners"),
        votersOutgoing: [],
        learnersNext: [],
        autoLeave: false,
      },
    },
  };
  const options: Omit<RaftConfig, "id" | "storage" | "random" | "logger"> = {
    electionTick: 3,
    heartbeatTick: 1,
    maxSizePerMsg: Number.POSITIVE_INFINITY,
    maxInflightMsgs: number("inflight") ?? 0x7fff_ffff,
    maxInflightBytes: number("inflight-bytes") ?? 0,
    maxCommittedSizePerReady: number("max-committed-size-per-ready") ?? 0,
    applied: index,
    asyncStorageWrites: flag("async-storage-writes"),
    preVote: flag("prevote"),
    checkQuorum: flag("checkquorum"),
    disableConfChangeValidation: flag("disable-conf-change-validation"),
    stepDownOnRemoval: flag("step-down-on-removal"),
    readOnlyOption: readOnlyOption(valueOf(c, "read-only") ?? "safe"),
  };
  // A limit on bytes must not be below the size of a message.
  const bytes = options.maxInflightBytes ?? 0;
  env.addNodes(Number(bare(c, 0)), bytes > 0 ? { ...options, maxSizePerMsg: bytes } : options, snap);
}

function readOnlyOption(text: string): ReadOnlyOption {
  if (text === "safe" || text === "lease-based") return text;
  throw new EnvError(`invalid read-only option ${JSON.stringify(text)}`);
}

function deliver(env: Env, c: Command): void {
  const recipients: Recipient[] = [];
  let type: string | undefined;
  for (const { key, values } of c.args) {
    if (values.length === 0) recipients.push({ id: parseUint(c, key), drop: false });
    for (const v of values) {
      if (key === "drop") {
        const id = parseUint(c, v);
        if (recipients.some((r) => r.id === id)) {
          throw new ScriptError(`${c.position}: can't both deliver and drop msgs to ${id}`);
        }
        recipients.push({ id, drop: true });
      } else if (key === "type") {
        if (!(MESSAGE_TYPES as readonly string[]).includes(v)) {
          throw new ScriptError(`${c.position}: unknown message type ${v}`);
        }
        type = v;
      }
    }
  }
  if (env.deliver(type, recipients) === 0) env.output.write("no messages\n");
}

function stabilize(env: Env, c: Command): void {
  const before = env.output.level;
  try {
    for (const level of valuesOf(c, "log-level")) setLevel(env, level);
    env.stabilize(nodes(c));
  } finally {
    env.output.level = before;
  }
}

function setLevel(env: Env, name: string): void {
  const level = (LEVELS as readonly string[]).indexOf(name.toUpperCase());
  if (level < 0) throw new EnvError(`log levels must be either of [${LEVELS.join(" ")}]`);
  env.output.level = level;
}

function raftState(env: Env): void {
  for (const { node } of env.nodes) {
    const st = node.status();
    const voter = jointIds(st.config.voters).has(st.id) ? "(Voter)" : "(Non-Voter)";
    env.output.write(`${st.id}: ${st.raftState} ${voter} Term:${st.term} Lead:${st.lead}\n`);
  }
}

function sendSnapshot(env: Env, c: Command): void {
  const [from, to] = nodes(c);
  if (from === undefined || to === undefined) throw new ScriptError(`${c.position}: expected two nodes`);
  const m = newMessage("MsgSnap", BigInt(to + 1));
  m.from = BigInt(from + 1);
  m.term = env.at(from).node.basicStatus().term;
  m.snapshot = env.at(from).storage.snapshot();
  env.messages.push(m);
  env.output.write(describeMessage(m));
}

const TRANSITIONS: Readonly<Record<string, ConfChangeTransition>> = {
  auto: "ConfChangeTransitionAuto",
  implicit: "ConfChangeTransitionJointImplicit",
  explicit: "ConfChangeTransitionJointExplicit",
};

function readConfChange(c: Command): AnyConfChange {
  for (const { key, values } of c.args.slice(1)) {
    if (values.length > 0 && key !== "v1" && key !== "transition") throw new EnvError(`unknown command ${key}`);
  }
  const v1 = parseBool(c, valueOf(c, "v1") ?? "false");
  const name = valueOf(c, "transition") ?? "auto";
  const transition = TRANSITIONS[name];
  if (transition === undefined) throw new EnvError(`unknown transition ${name}`);
  const changes = parseConfChanges(c.input);
  if (!v1) return confChange({ transition, changes });
  const [only] = changes;
  if (changes.length > 1 || transition !== "ConfChangeTransitionAuto") {
    throw new EnvError("v1 conf change can only have one operation and no transition");
  }
  if (only === undefined) throw new ScriptError(`${c.position}: a v1 conf change needs an operation`);
  return { ...only, context: new Uint8Array(0), id: 0n };
}

function tick(env: Env, c: Command, unit: "electionTick" | "heartbeatTick"): void {
  const { node, config } = env.at(firstNode(c));
  for (let i = 0; i < config[unit]; i++) node.tick();
}

function forEachNode(env: Env, c: Command, title: string, fn: (index: number) => void): void {
  const chosen = nodes(c);
  for (const i of chosen) {
    if (chosen.length === 1) {
      fn(i);
    } else {
      env.output.write(`> ${i + 1} ${title}\n`);
      env.output.indented(() => fn(i));
    }
  }
}

/** The key of the argument at `position`. */
function bare(c: Command, position: number): string {
  const arg = c.args[position];
  if (arg === undefined) throw new ScriptError(`${c.position}: an argument is missing`);
  return arg.key;
}

function required(c: Command, key: string): string {
  const v = valueOf(c, key);
  if (v === undefined) throw new ScriptError(`${c.position}: ${key}= is missing`);
  return v;
}

function firstNode(c: Command): number {
  return Number(parseUint(c, bare(c, 0))) - 1;
}

/** Positions of all nodes named without `=`. */
function nodes(c: Command): number[] {
  return c.args.filter((a) => a.values.length === 0).map((a) => Number(parseUint(c, a.key)) - 1);
}
