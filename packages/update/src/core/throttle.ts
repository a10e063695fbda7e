import { type GraphNode, KEY } from "./graph-node.ts";

/** For whom a graph is throttled. */
export interface ThrottleInput {
  /** Seconds since 1970. */
  readonly nowS: number;
  /** The machine; empty when it does not say, and then it counts as the most wary. */
  readonly nodeId: string;
  /** 0 takes updates at once, 1 last; given by the machine, else drawn from its id and the version. */
  readonly wariness: number | undefined;
}

/** The share of machines, 0 to 1, that a release is open to at a time. Releases without a rollout are open to all. */
export function openShare(node: GraphNode, nowS: number): number {
  if (node.metadata[KEY.rollout] !== "true") return 1;
  const start = numberOf(node, KEY.startEpoch, 0);
  const share = numberOf(node, KEY.startValue, 0);
  if (nowS < start) return 0;
  const minutes = numberOf(node, KEY.durationMinutes, Number.NaN);
  if (Number.isNaN(minutes)) return share;
  if (minutes === 0) return 1;
  return Math.min(1, share + (1 - share) * ((nowS - start) / (60 * minutes)));
}

/** Whether the rollout of a release has reached a machine. Before its start nobody has it, however eager. */
export function isOffered(node: GraphNode, input: ThrottleInput): boolean {
  if (node.metadata[KEY.rollout] === "true" && input.nowS < numberOf(node, KEY.startEpoch, 0)) return false;
  const wariness = input.wariness ?? (input.nodeId === "" ? 1 : drawWariness(input.nodeId, node.version));
  return Math.min(1, Math.max(0, wariness)) <= openShare(node, input.nowS);
}

/**
 * A machine's place in the queue for one version, in (0, 1]. It depends on both, so that it is not always the same
 * machines that go first (upstream hashes the id alone), and asking again gives the same answer.
 */
export function drawWariness(nodeId: string, version: string): number {
  let hash = 0x811c9dc5;
  const text = `${nodeId}\n${version}`;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  // FNV alone mixes the last characters badly into the high bits; this is the finalizer of MurmurHash3.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) + 1) / 2 ** 32;
}

function numberOf(node: GraphNode, key: string, fallback: number): number {
  const value = Number(node.metadata[key] ?? Number.NaN);
  return Number.isFinite(value) ? value : fallback;
}
