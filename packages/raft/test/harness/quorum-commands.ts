import { type JointVoters, jointCommitted, jointIds, jointVote } from "../../src/quorum/joint.ts";
import {
  type AckedIndexer,
  majorityCommitted,
  majorityVote,
  sortedIds,
  UNBOUNDED,
  type VoterSet,
} from "../../src/quorum/majority.ts";
import { type Command, parseUint, ScriptError } from "./datadriven.ts";

interface Input {
  readonly joint: boolean;
  readonly ids: readonly bigint[];
  readonly outgoingIds: readonly bigint[];
  /** Indexes, or 1 (no) and 2 (yes); 0 for `_`. In the order of the ids without repetition. */
  readonly values: readonly number[];
  readonly votes: readonly number[];
}

const NONE: VoterSet = new Set();

/** `committed` and `vote` (upstream: quorum/datadriven_test.go), with the same cross-checks. */
export function runQuorumCommand(c: Command): string {
  const input = readInput(c);
  const incoming = new Set(input.ids);
  const outgoing = new Set(input.outgoingIds);
  const joint: JointVoters = [incoming, outgoing];
  const given = c.name === "vote" ? input.votes : input.values;
  const ids = jointIds(joint);
  if (ids.size !== given.length) {
    const voters = sortedIds(ids).map((id) => `${id}:{}`);
    return `error: mismatched input (explicit or _) for voters map[${voters.join(" ")}]: [${given.join(" ")}]`;
  }
  const known = lookup(input, given);
  switch (c.name) {
    case "committed":
      return input.joint ? committedJoint(joint, known) : committedMajority(incoming, known);
    case "vote": {
      const votes = new Map([...known].map(([id, v]) => [id, v !== 1]));
      if (!input.joint) return `${majorityVote(incoming, votes)}\n`;
      const result = jointVote(joint, votes);
      const swapped = jointVote([outgoing, incoming], votes);
      return `${swapped === result ? "" : `${swapped} <-- via symmetry\n`}${result}\n`;
    }
    default:
      throw new ScriptError(`${c.position}: unknown command: ${c.name}`);
  }
}

function readInput(c: Command): Input {
  const ids: bigint[] = [];
  const outgoingIds: bigint[] = [];
  const values: number[] = [];
  const votes: number[] = [];
  let joint = false;
  for (const { key, values: given } of c.args) {
    for (const v of given) {
      if (key === "cfg") ids.push(parseUint(c, v));
      else if (key === "cfgj") {
        joint = true;
        if (v !== "zero") outgoingIds.push(parseUint(c, v));
        else if (given.length !== 1) throw new ScriptError(`${c.position}: cannot mix 'zero' into configuration`);
      } else if (key === "idx") {
        if (v !== "_" && parseUint(c, v) === 0n) throw new ScriptError(`${c.position}: cannot use 0 as idx`);
        values.push(v === "_" ? 0 : Number(parseUint(c, v)));
      } else if (key === "votes") {
        const vote = ["_", "n", "y"].indexOf(v);
        if (vote < 0) throw new ScriptError(`${c.position}: unknown vote: ${v}`);
        votes.push(vote);
      } else throw new ScriptError(`${c.position}: unknown arg ${key}`);
    }
  }
  return { joint, ids, outgoingIds, values, votes };
}

function lookup(input: Input, given: readonly number[]): Map<bigint, number> {
  const known = new Map<bigint, number>();
  const order = [...new Set([...input.ids, ...input.outgoingIds])];
  order.forEach((id, i) => {
    const v = given[i];
    if (v !== undefined && v !== 0) known.set(id, v);
  });
  return known;
}

function committedMajority(voters: VoterSet, known: ReadonlyMap<bigint, number>): string {
  const acked: AckedIndexer = (id) => known.get(id);
  const index = majorityCommitted(voters, acked);
  let s = describeAcked(voters, known);
  const alternative = committedByCounting(voters, known);
  if (alternative !== index) s += `${show(alternative)} <-- via alternative computation\n`;
  const zeroJoint = jointCommitted([voters, NONE], acked);
  if (zeroJoint !== index) s += `${show(zeroJoint)} <-- via zero-joint quorum\n`;
  const selfJoint = jointCommitted([voters, voters], acked);
  if (selfJoint !== index) s += `${show(selfJoint)} <-- via self-joint quorum\n`;
  for (const id of voters) {
    const own = known.get(id) ?? 0;
    if (!(index > own && own > 0)) continue;
    // Below the committed index already: lowering it further must not matter.
    for (const lower of [own - 1, 0]) {
      const other = majorityCommitted(voters, (v) => (v === id ? lower : known.get(v)));
      if (other !== index) s += `${show(other)} <-- overlaying ${id}->${lower === 0 ? 0 : own}`;
    }
  }
  return `${s}${show(index)}\n`;
}

function committedJoint(joint: JointVoters, known: ReadonlyMap<bigint, number>): string {
  const acked: AckedIndexer = (id) => known.get(id);
  const index = jointCommitted(joint, acked);
  const swapped = jointCommitted([joint[1], joint[0]], acked);
  const symmetry = swapped === index ? "" : `${show(swapped)} <-- via symmetry\n`;
  return `${describeAcked(jointIds(joint), known)}${symmetry}${show(index)}\n`;
}

/** A second way to compute the committed index: the largest that a majority has reached, found by counting. */
export function committedByCounting(voters: VoterSet, known: ReadonlyMap<bigint, number>): number {
  if (voters.size === 0) return UNBOUNDED;
  const acked = [...voters].flatMap((id) => known.get(id) ?? []);
  const quorum = Math.floor(voters.size / 2) + 1;
  const reached = acked.filter((index) => acked.filter((other) => other >= index).length >= quorum);
  return Math.max(0, ...reached);
}

function show(index: number): string {
  return index === UNBOUNDED ? "∞" : String(index);
}

/** A table of who acknowledged what, with bars in order of the indexes. */
function describeAcked(voters: VoterSet, known: ReadonlyMap<bigint, number>): string {
  if (voters.size === 0) return "<empty majority quorum>";
  const n = voters.size;
  const order = sortedIds(voters);
  const index = (id: bigint): number => known.get(id) ?? 0;
  const byIndex = order.toSorted((a, b) => index(a) - index(b));
  const bars = new Map<bigint, number>();
  byIndex.forEach((id, i) => {
    const previous = byIndex[i - 1];
    const same = previous !== undefined && index(previous) >= index(id);
    bars.set(id, same ? (bars.get(previous) ?? 0) : i);
  });
  let s = `${" ".repeat(n)}    idx\n`;
  for (const id of order) {
    const bar = bars.get(id) ?? 0;
    s += known.has(id) ? `${"x".repeat(bar)}>${" ".repeat(n - bar)}` : `?${" ".repeat(n)}`;
    s += ` ${String(index(id)).padStart(5)}    (id=${id.toString(16)})\n`;
  }
  return s;
}
