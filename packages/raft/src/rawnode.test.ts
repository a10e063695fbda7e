import { describe, expect, it } from "vitest";
import { bytes, confStateOf, TestNetwork, TestNode, text } from "../test/harness/network.ts";
import {
  asV2,
  confChangeOf,
  type Entry,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  MemoryStorage,
  type RaftConfig,
  RaftConfigError,
  RawNode,
  statusJson,
} from "./index.ts";

const random = { below: () => 0, u64: () => 0n };

function config(fields: Partial<RaftConfig> = {}): RaftConfig {
  return { id: 1n, electionTick: 10, heartbeatTick: 1, storage: new MemoryStorage(), random, ...fields };
}

describe("configuration", () => {
  it.each([
    ["cannot use none as id", { id: 0n }],
    ["cannot use local target as id", { id: LOCAL_APPEND_THREAD }],
    ["id must be an unsigned 64-bit integer", { id: -1n }],
    ["heartbeat tick must be greater than 0", { heartbeatTick: 0 }],
    ["election tick must be greater than heartbeat tick", { electionTick: 1 }],
    ["max inflight messages must be greater than 0", { maxInflightMsgs: 0 }],
    ["max inflight bytes must be >= max message size", { maxInflightBytes: 5, maxSizePerMsg: 6 }],
    ["CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased", { readOnlyOption: "lease-based" }],
  ] as const)("%s", (want, fields) => {
    expect(() => new RawNode(config(fields))).toThrow(new RaftConfigError(want));
  });
});

describe("bootstrap", () => {
  it("puts the members into the log, as the application will see them", () => {
    const storage = new MemoryStorage();
    const node = new RawNode(config({ storage }));
    node.bootstrap([{ id: 1n, context: bytes("one") }]);
    const rd = node.ready();
    expect([rd.hardState, rd.mustSync, rd.entries.length]).toEqual([{ term: 1, vote: 0n, commit: 1 }, true, 1]);
    const [cc] = rd.committedEntries.map((e) => confChangeOf(e));
    expect(cc === undefined ? undefined : text(asV2(cc).context)).toBe("one");
    storage.append(rd.entries);
    node.advance(rd);
    node.campaign();
    expect(() => node.bootstrap([{ id: 2n }])).toThrow("can't bootstrap a nonempty Storage");
    expect(() => new RawNode(config()).bootstrap([])).toThrow("must provide at least one peer");
  });
});

describe("restart", () => {
  it("takes up term, vote, commit and membership, and hands out what was not applied", () => {
    const n = new TestNode(1n, { voters: [1n], terms: [1, 1, 2], term: 2, vote: 1n, commit: 2 });
    expect(n.node.basicStatus()).toMatchObject({
      term: 2,
      vote: 1n,
      commit: 2,
      applied: 0,
      raftState: "StateFollower",
    });
    n.work();
    expect(n.applied.map((e) => e.index)).toEqual([1, 2]);
    const again = new TestNode(1n, { voters: [1n], terms: [1, 1, 2], term: 2, commit: 2, applied: 2 });
    expect(again.node.hasReady()).toBe(false);
  });
  it("refuses a commit index outside of the log", () => {
    expect(() => new TestNode(1n, { terms: [1], term: 1, commit: 5 })).toThrow("state.commit 5 is out of range [0, 1]");
  });
});

describe("Ready", () => {
  it("must reach the disk for entries, votes and terms, but not for the commit index", () => {
    const net = TestNetwork.of(1);
    const { node, storage } = net.at(1);
    const seen: boolean[] = [];
    node.campaign();
    while (node.hasReady()) {
      const rd = node.ready();
      seen.push(rd.mustSync);
      storage.append(rd.entries);
      node.advance(rd);
    }
    expect(seen).toEqual([true, true, false]);
  });
  it("is asked for once before advance", () => {
    const { node } = new TestNode(1n, { voters: [1n] });
    node.campaign();
    node.ready();
    expect(() => node.ready()).toThrow("two accepted Ready structs without call to Advance");
  });
});

describe("asynchronous storage writes", () => {
  function started(): { node: RawNode; storage: MemoryStorage } {
    const storage = new MemoryStorage();
    storage.applySnapshot({ data: bytes(""), metadata: { index: 0, term: 0, confState: confStateOf([1n]) } });
    return { node: new RawNode(config({ storage, asyncStorageWrites: true })), storage };
  }
  it("hands work to the storage and goes on when the responses come", () => {
    const { node, storage } = started();
    node.campaign();
    node.propose(bytes("too early"));
    const applied: Entry[] = [];
    let appends = 0;
    while (node.hasReady()) {
      for (const m of node.ready().messages) {
        if (m.to === LOCAL_APPEND_THREAD) {
          appends++;
          storage.append(m.entries);
          if (m.term > 0) storage.setHardState({ term: m.term, vote: m.vote, commit: m.commit });
        } else if (m.to === LOCAL_APPLY_THREAD) {
          applied.push(...m.entries);
        }
        for (const resp of m.responses) expect(node.step(resp)).toBe("ok");
      }
    }
    expect([appends > 1, applied.map((e) => e.index), node.basicStatus().applied]).toEqual([true, [1], 1]);
    expect(storage.initialState().hardState).toEqual({ term: 1, vote: 1n, commit: 1 });
  });
  it("allows several writes under way, and no advance", () => {
    const { node } = started();
    node.campaign();
    const first = node.ready();
    for (const resp of first.messages[0]?.responses ?? []) node.step(resp);
    node.propose(bytes("a"));
    expect(node.ready().messages[0]?.entries).toHaveLength(2);
    node.propose(bytes("b"));
    expect(node.ready().messages[0]?.entries).toHaveLength(1);
    expect(() => node.advance()).toThrow("Advance must not be called");
  });
});

describe("status", () => {
  it("is as upstream serves it", () => {
    const net = TestNetwork.of(2);
    net.campaign(1);
    expect(statusJson(net.at(1).node.status())).toBe(
      '{"id":"1","term":1,"vote":"1","commit":1,"lead":"1","raftState":"StateLeader","applied":1,' +
        '"progress":{"1":{"match":1,"next":2,"state":"StateReplicate"},"2":{"match":1,"next":2,"state":"StateReplicate"}},"leadtransferee":"0"}',
    );
    expect(net.at(2).node.status().progress.size).toBe(0);
  });
});

describe("several proposals at once", () => {
  it("go into the log together or not at all", () => {
    const net = TestNetwork.of(3);
    net.campaign(1);
    expect(net.at(2).node.proposeMany(["a", "b", "c"].map(bytes))).toBe("ok");
    net.settle();
    expect(net.at(3).applied.map((e) => text(e.data))).toEqual(["", "a", "b", "c"]);
    expect(net.at(1).node.proposeMany([])).toBe("ok");
  });
});
