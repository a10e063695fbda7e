import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { failsOnlyWith } from "../testing/fails-only-with.ts";
import { chooseUpdate, type Denial } from "./choose.ts";
import { FormatError } from "./errors.ts";
import { buildGraph, parseGraph, throttleGraph } from "./graph.ts";
import { type Graph, KEY } from "./graph-node.ts";
import { addRelease, emptyStream, type ReleaseUpdate, type StreamReleases } from "./release.ts";
import { drawWariness, openShare } from "./throttle.ts";

const commit = (n: number) => n.toString(16).padStart(64, "0");
/** A stream of 1, 2, …; what is said of each as an update, by its number. */
function streamOf(count: number, said: Readonly<Record<number, Omit<ReleaseUpdate, "version">>> = {}): StreamReleases {
  let stream = emptyStream("s");
  for (let n = 1; n <= count; n++) {
    const update = { version: `${n}`, ...(said[n] ?? { rollout: {} }) };
    stream = addRelease(stream, { version: `${n}`, commit: commit(n), timestamp: n }, update);
  }
  return stream;
}
const show = (graph: Graph) =>
  graph.edges.map(([from, to]) => `${graph.nodes[from]?.version}-${graph.nodes[to]?.version}`).join(" ");

describe("edges", () => {
  it.each<[string, StreamReleases, string]>([
    ["none", streamOf(0), ""],
    ["one hop from any to any later", streamOf(3), "1-2 1-3 2-3"],
    ["a barrier is gone through", streamOf(4, { 3: { barrier: { reason: "keys" } } }), "1-2 1-3 2-3 3-4"],
    [
      "barriers chain",
      streamOf(5, { 2: { barrier: { reason: "a" } }, 4: { barrier: { reason: "b" } } }),
      "1-2 2-3 2-4 3-4 4-5",
    ],
    ["from a dead end nowhere", streamOf(3, { 2: { rollout: {}, deadend: { reason: "x" } } }), "1-2 1-3"],
    ["one that is not rolled out is offered to nobody", streamOf(3, { 3: {} }), "1-2"],
  ])("%s", (_title, stream, want) => expect(show(buildGraph(stream))).toBe(want));

  it("another architecture is another graph", () => {
    const stream = addRelease(streamOf(1), { version: "1", commit: commit(9), timestamp: 1, architecture: "aarch64" });
    expect(buildGraph(stream, "aarch64").nodes.map((n) => n.payload)).toEqual([commit(9)]);
    expect(buildGraph(stream).nodes.map((n) => n.payload)).toEqual([commit(1)]);
  });

  it("metadata has upstream's names", () => {
    const rollout = { start_epoch: 5, start_percentage: 0.25, duration_minutes: 10 };
    expect(buildGraph(streamOf(1, { 1: { rollout, deadend: { reason: "y" } } })).nodes[0]?.metadata).toEqual({
      "org.fedoraproject.coreos.scheme": "checksum",
      "org.fedoraproject.coreos.releases.age_index": "0",
      "org.fedoraproject.coreos.updates.rollout": "true",
      "org.fedoraproject.coreos.updates.start_epoch": "5",
      "org.fedoraproject.coreos.updates.start_value": "0.25",
      "org.fedoraproject.coreos.updates.duration_minutes": "10",
      "org.fedoraproject.coreos.updates.deadend": "true",
      "org.fedoraproject.coreos.updates.deadend_reason": "y",
    });
  });
});

describe("rollout", () => {
  const at = (rollout: NonNullable<ReleaseUpdate["rollout"]>, nowS: number) => {
    const node = buildGraph(streamOf(1, { 1: { rollout } })).nodes[0];
    return node === undefined ? Number.NaN : openShare(node, nowS);
  };
  it.each<[string, NonNullable<ReleaseUpdate["rollout"]>, number, number]>([
    ["nothing said: all of it", {}, 0, 1],
    ["before the start", { start_epoch: 100, duration_minutes: 1 }, 99, 0],
    ["at the start", { start_epoch: 100, start_percentage: 0.2, duration_minutes: 1 }, 100, 0.2],
    ["half way", { start_epoch: 100, start_percentage: 0.2, duration_minutes: 1 }, 130, 0.6],
    ["at the end", { start_epoch: 100, duration_minutes: 1 }, 160, 1],
    ["long after", { start_epoch: 100, duration_minutes: 1 }, 1e9, 1],
    ["a share without a duration stays", { start_percentage: 0.3 }, 1e9, 0.3],
    ["no duration at all", { duration_minutes: 0 }, 0, 1],
  ])("%s", (_title, rollout, nowS, want) => expect(at(rollout, nowS)).toBeCloseTo(want));

  it("hides the edge and keeps the nodes", () => {
    const graph = buildGraph(streamOf(2, { 2: { rollout: { start_percentage: 0.5 } } }));
    const seen = (wariness: number) => throttleGraph(graph, { nowS: 0, nodeId: "n", wariness });
    expect(show(seen(0.4))).toBe("1-2");
    expect(show(seen(0.6))).toBe("");
    expect(seen(0.6).nodes).toHaveLength(2);
  });

  it("before its start even the most eager get nothing", () => {
    const graph = buildGraph(streamOf(2, { 2: { rollout: { start_epoch: 50, start_percentage: 1 } } }));
    expect(show(throttleGraph(graph, { nowS: 49, nodeId: "n", wariness: 0 }))).toBe("");
  });

  it("machines are spread evenly, and differently for each version", () => {
    const ids = Array.from({ length: 2_000 }, (_, i) => `machine-${i}`);
    const first = (version: string) => new Set(ids.filter((id) => drawWariness(id, version) <= 0.1));
    const [a, b] = [first("2.0.0"), first("2.0.1")];
    for (const early of [a, b]) {
      expect(early.size).toBeGreaterThan(140);
      expect(early.size).toBeLessThan(260);
    }
    // Of 200 machines that go first, chance alone gives 20 both times.
    expect(a.intersection(b).size).toBeLessThan(45);
    expect(drawWariness("x", "1")).toBe(drawWariness("x", "1"));
  });

  it("one that was offered stays offered", () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.nat(10_000),
        fc.nat(10_000),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (id, t, dt, share) => {
          const rollout = { start_epoch: 10, start_percentage: share, duration_minutes: 60 };
          const graph = buildGraph(streamOf(2, { 2: { rollout } }));
          const edges = (nowS: number) => throttleGraph(graph, { nowS, nodeId: id, wariness: undefined }).edges.length;
          expect(edges(t + dt)).toBeGreaterThanOrEqual(edges(t));
        },
      ),
    );
  });
});

describe("what a machine makes of a graph", () => {
  const denial = (version: string, c = ""): Denial => ({ version, commit: c, reason: "bad", machine: "m", at: 1 });
  const choose = (graph: Graph, n: number, denied: Denial[] = [], allowDowngrade = false) => {
    const choice = chooseUpdate(graph, { version: `${n}`, commit: commit(n) }, { denied, allowDowngrade });
    if (choice.kind === "update") return choice.target.version;
    return choice.kind === "deadend" ? `deadend: ${choice.reason}` : choice.kind;
  };
  const three = buildGraph(streamOf(3));
  it.each<[string, string, string]>([
    ["the newest", choose(three, 1), "3"],
    ["at the end nothing", choose(three, 3), "none"],
    ["not in the graph", choose(three, 9), "unknown"],
    ["an empty graph", choose({ nodes: [], edges: [] }, 1), "unknown"],
    ["denied by version: the one before it", choose(three, 1, [denial("3")]), "2"],
    ["denied by commit", choose(three, 1, [denial("x", commit(3))]), "2"],
    ["all denied", choose(three, 1, [denial("3"), denial("2")]), "denied"],
    ["a dead end", choose(buildGraph(streamOf(2, { 1: { deadend: { reason: "eol" } } })), 1), "deadend: eol"],
    ["only older", choose({ ...three, edges: [[2, 0]] }, 3), "downgrade"],
    ["older, and allowed", choose({ ...three, edges: [[2, 0]] }, 3, [], true), "1"],
    [
      "a node that does not say its age is no newer",
      choose({ nodes: three.nodes.map((n) => ({ ...n, metadata: {} })), edges: [[0, 1]] }, 1),
      "downgrade",
    ],
  ])("%s", (_title, got, want) => expect(got).toBe(want));
});

describe("a server's answer", () => {
  it("round-trips", () => {
    const graph = buildGraph(streamOf(4, { 2: { barrier: { reason: "b" } } }));
    expect(parseGraph(JSON.stringify(graph))).toEqual(graph);
  });

  it.each<[string, unknown, string]>([
    ["an edge out of the list", { nodes: [], edges: [[0, 1]] }, "edges[0] leads from 0 to 1 among 0 nodes"],
    ["a loop", { nodes: [{ version: "1", payload: "x" }], edges: [[0, 0]] }, "edges[0] leads from 0 to 0"],
    ["three ends", { nodes: [], edges: [[0, 1, 2]] }, "edges[0] has more than 2 items"],
    [
      "a version to escape with",
      { nodes: [{ version: "../../x", payload: "x" }], edges: [] },
      "nodes[0].version is not",
    ],
    [
      "metadata that is no text",
      { nodes: [{ version: "1", payload: "x", metadata: { a: 1 } }], edges: [] },
      "nodes[0].metadata.a is not a text",
    ],
  ])("%s is refused", (_title, value, message) => expect(() => parseGraph(JSON.stringify(value))).toThrow(message));

  it("whatever it is, it is a graph or a FormatError, and then choosing does not throw", () => {
    const index = fc.integer({ min: -1, max: 4 });
    const node = fc.record(
      {
        version: fc.oneof(fc.string(), fc.constant("1")),
        payload: fc.string(),
        metadata: fc.dictionary(fc.constantFrom(...Object.values(KEY)), fc.string()),
      },
      { requiredKeys: ["version", "payload"] },
    );
    const answer = fc.record({
      nodes: fc.array(node, { maxLength: 4 }),
      edges: fc.array(fc.tuple(index, index), { maxLength: 5 }),
    });
    fc.assert(
      fc.property(
        fc.oneof(
          answer.map((a) => JSON.stringify(a)),
          fc.json(),
          fc.string(),
        ),
        (text) =>
          failsOnlyWith(FormatError, () =>
            chooseUpdate(parseGraph(text), { version: "1", commit: "x" }, { denied: [], allowDowngrade: true }),
          ),
      ),
    );
  });
});
