import { FormatError } from "./errors.ts";
import { type Graph, type GraphNode, KEY } from "./graph-node.ts";
import { asArray, asCount, asObject, asText, parseJson } from "./json.ts";
import { checkVersion, DEFAULT_ARCHITECTURE, parseMetadata, type Release, type StreamReleases } from "./release.ts";
import { isOffered, type ThrottleInput } from "./throttle.ts";

const NODES_MAX = 4_096;
const EDGES_MAX = 65_536;

/**
 * The graph of a stream for one architecture. Nodes are the releases in order of age. Everything from the last barrier on
 * may go to every later release that has a rollout, up to and with the next barrier, so that one hop is the rule; from a
 * dead end there is no way on. Source of the rules: fedora-coreos-cincinnati `commons/src/graph.rs`.
 */
export function buildGraph(stream: StreamReleases, architecture: string = DEFAULT_ARCHITECTURE): Graph {
  const releases = stream.releases.filter((r) => (r.architecture ?? DEFAULT_ARCHITECTURE) === architecture);
  const updates = new Map(stream.updates.map((u) => [u.version, u]));
  const edges: [number, number][] = [];
  let barrierIndex = 0;
  for (const [to, { version }] of releases.entries()) {
    const update = updates.get(version);
    if (update?.rollout === undefined && update?.barrier === undefined) continue;
    for (let from = barrierIndex; from < to; from++) {
      if (updates.get(releases[from]?.version ?? "")?.deadend === undefined) edges.push([from, to]);
    }
    if (update.barrier !== undefined) barrierIndex = to;
  }
  return { nodes: releases.map((release, index) => toNode(release, index, stream)), edges };
}

/** Leaves out the edges to releases whose rollout has not reached this machine yet. Nodes stay: it must find itself. */
export function throttleGraph(graph: Graph, input: ThrottleInput): Graph {
  const offered = graph.nodes.map((node) => isOffered(node, input));
  return { nodes: graph.nodes, edges: graph.edges.filter(([, to]) => offered[to] === true) };
}

/** Parses a server's answer. @throws FormatError */
export function parseGraph(text: string): Graph {
  const root = asObject(parseJson(text, "the graph"), "the graph");
  const nodes = asArray(root["nodes"], "nodes", NODES_MAX).map((value, i): GraphNode => {
    const node = asObject(value, `nodes[${i}]`);
    return {
      version: checkVersion(node["version"], `nodes[${i}].version`),
      payload: asText(node["payload"], `nodes[${i}].payload`, 512),
      metadata: parseMetadata(node["metadata"] ?? {}, `nodes[${i}].metadata`),
    };
  });
  const edges = asArray(root["edges"], "edges", EDGES_MAX).map((value, i): [number, number] => {
    const pair = asArray(value, `edges[${i}]`, 2);
    const [from, to] = [asCount(pair[0], `edges[${i}][0]`), asCount(pair[1], `edges[${i}][1]`)];
    if (from >= nodes.length || to >= nodes.length || from === to) {
      throw new FormatError(`edges[${i}] leads from ${from} to ${to} among ${nodes.length} nodes`);
    }
    return [from, to];
  });
  return { nodes, edges };
}

/** Position in order of age; -1 when the node does not say. */
export function ageIndex(node: GraphNode): number {
  const text = node.metadata[KEY.ageIndex];
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : -1;
}

function toNode(release: Release, index: number, stream: StreamReleases): GraphNode {
  const update = stream.updates.find((u) => u.version === release.version);
  const { rollout, barrier, deadend } = update ?? {};
  const share = rollout?.start_percentage ?? (rollout?.duration_minutes === undefined ? 1 : 0);
  return {
    version: release.version,
    payload: release.commit,
    metadata: {
      ...release.metadata,
      [KEY.scheme]: "checksum",
      [KEY.ageIndex]: String(index),
      ...(rollout === undefined
        ? {}
        : {
            [KEY.rollout]: "true",
            [KEY.startEpoch]: String(rollout.start_epoch ?? 0),
            [KEY.startValue]: String(share),
          }),
      ...(rollout?.duration_minutes === undefined ? {} : { [KEY.durationMinutes]: String(rollout.duration_minutes) }),
      ...(barrier === undefined ? {} : { [KEY.barrier]: "true", [KEY.barrierReason]: barrier.reason }),
      ...(deadend === undefined ? {} : { [KEY.deadend]: "true", [KEY.deadendReason]: deadend.reason }),
    },
  };
}
