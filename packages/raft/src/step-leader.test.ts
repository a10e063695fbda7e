import { describe, expect, it } from "vitest";
import { bytes, entriesOfTerms, message, TestNetwork, TestNode, text } from "../test/harness/network.ts";
import { confChange, parseConfChanges } from "./conf-change.ts";
import { RaftDecodeError } from "./errors.ts";
import type { Entry } from "./types.ts";

const reads = (n: TestNode): [string, number][] => n.reads.map((r) => [text(r.context), r.index]);

describe("ReadIndex (thesis 6.4)", () => {
  it("is answered after a round of heartbeats, on the leader and through a follower", () => {
    const net = TestNetwork.of(3);
    net.campaign(1);
    net.propose(1, "a");
    net.at(1).node.readIndex(bytes("r1"));
    net.settle();
    net.at(2).node.readIndex(bytes("r2"));
    net.settle();
    expect([reads(net.at(1)), reads(net.at(2))]).toEqual([[["r1", 2]], [["r2", 2]]]);
  });
  it("is not answered by a leader that has lost its quorum", () => {
    const net = TestNetwork.of(3);
    net.campaign(1);
    net.cut(1);
    net.at(1).node.readIndex(bytes("stale"));
    net.settle();
    net.campaign(2);
    net.propose(2, "newer");
    expect(reads(net.at(1))).toEqual([]);
    net.heal();
    net.tick(2);
    expect([net.at(1).state, reads(net.at(1))]).toEqual(["StateFollower", []]);
  });
  it("later confirmations confirm earlier reads as well", () => {
    const net = TestNetwork.of(3);
    net.campaign(1);
    net.drop = (m) => m.type === "MsgHeartbeatResp";
    for (const r of ["r1", "r2"]) {
      net.at(1).node.readIndex(bytes(r));
      net.settle();
    }
    expect(reads(net.at(1))).toEqual([]);
    net.heal();
    net.tick(1);
    expect(reads(net.at(1))).toEqual([
      ["r1", 1],
      ["r2", 1],
    ]);
  });
  it("waits for the first commit of the leader's term (paper 8)", () => {
    const net = TestNetwork.of(3);
    net.drop = (m) => m.type === "MsgAppResp";
    net.campaign(1);
    net.at(1).node.readIndex(bytes("early"));
    net.settle();
    expect(reads(net.at(1))).toEqual([]);
    net.heal();
    net.tick(1);
    expect(reads(net.at(1))).toEqual([["early", 1]]);
  });
  it("rests on the lease alone when so configured", () => {
    const net = TestNetwork.of(3, { checkQuorum: true, readOnlyOption: "lease-based" });
    net.campaign(1);
    net.cut(1);
    net.at(1).node.readIndex(bytes("r"));
    net.settle();
    expect(reads(net.at(1))).toEqual([["r", 1]]);
  });
  it("of a single voter is answered at once", () => {
    const net = TestNetwork.of(1);
    net.campaign(1);
    net.at(1).node.readIndex(bytes("r"));
    net.settle();
    expect(reads(net.at(1))).toEqual([["r", 1]]);
  });
  it("of a single voter waits as well until it has committed: a power cut may have taken back its commit index", () => {
    const n = new TestNode(1n, { voters: [1n], terms: [1, 1, 1], term: 1, commit: 1 });
    n.node.campaign();
    const won = n.node.ready();
    n.node.advance(won);
    n.node.readIndex(bytes("r"));
    n.work();
    expect(reads(n)).toEqual([["r", 4]]);
  });
  it("of a follower without a leader goes nowhere", () => {
    const net = TestNetwork.of(3);
    net.at(1).node.readIndex(bytes("r"));
    net.settle();
    expect([net.delivered, reads(net.at(1))]).toEqual([[], []]);
  });
});

describe("transfer of leadership (thesis 3.10)", () => {
  it.each([
    ["asked of the leader", 1, 3n, ["Follower", "Follower", "Leader"]],
    ["asked of a follower", 2, 2n, ["Follower", "Leader", "Follower"]],
    ["to itself", 1, 1n, ["Leader", "Follower", "Follower"]],
    ["to a stranger", 1, 9n, ["Leader", "Follower", "Follower"]],
  ])("%s", (_title, on, to, want) => {
    const net = TestNetwork.of(3, { preVote: true, checkQuorum: true });
    net.campaign(1);
    net.at(on).node.transferLeader(to);
    net.settle();
    expect(net.states()).toEqual(want);
  });
  it("waits for a follower that is behind", () => {
    const net = TestNetwork.of(3);
    net.campaign(1);
    net.cut(3);
    net.propose(1, "a");
    net.heal();
    net.at(1).node.transferLeader(3n);
    net.settle();
    expect([net.states(), net.at(3).terms()]).toEqual([
      ["Follower", "Follower", "Leader"],
      [1, 1, 2],
    ]);
  });
  it("another target replaces the first; proposals are dropped until it is done or an election timeout passed", () => {
    const net = TestNetwork.of(4);
    net.campaign(1);
    net.cut(2, 3);
    net.at(1).node.transferLeader(2n);
    expect(net.at(1).node.propose(bytes("x"))).toBe("proposal-dropped");
    net.at(1).node.transferLeader(3n);
    expect(net.at(1).node.basicStatus().leadTransferee).toBe(3n);
    net.tick(1, 10);
    expect(net.at(1).node.basicStatus().leadTransferee).toBe(0n);
    expect(net.at(1).node.propose(bytes("x"))).toBe("ok");
  });
  it("ends when the target is removed", () => {
    const net = TestNetwork.of(3);
    net.campaign(1);
    net.cut(3);
    net.at(1).node.proposeConfChange(confChange({ changes: parseConfChanges("r3") }));
    net.at(1).node.transferLeader(3n);
    net.settle();
    expect([net.at(1).state, net.at(1).node.basicStatus().leadTransferee]).toEqual(["StateLeader", 0n]);
  });
});

describe("membership changes", () => {
  const change = (text_: string) => confChange({ changes: parseConfChanges(text_) });

  it("only one is in the log at a time; others become empty entries", () => {
    const net = TestNetwork.of(3);
    net.campaign(1);
    net.at(1).node.proposeConfChange(change("v4"));
    net.at(1).node.proposeConfChange(change("v5"));
    net.settle();
    expect(net.at(1).applied.map((e) => e.type)).toEqual(["EntryNormal", "EntryConfChangeV2", "EntryNormal"]);
    expect(net.at(1).raft.tracker.voterIds()).toEqual([1n, 2n, 3n, 4n]);
  });
  it("a joint one is left by the leader itself", () => {
    const net = TestNetwork.of(3);
    net.campaign(1);
    net.at(1).node.proposeConfChange(change("r2 r3 l4"));
    net.settle();
    const { config } = net.at(1).node.status();
    expect([config.voters[0], config.voters[1], config.learners]).toEqual([new Set([1n]), new Set(), new Set([4n])]);
  });
  it("a new leader leaves it when the old one could not", () => {
    const net = TestNetwork.of(3);
    net.campaign(1);
    net.at(1).node.proposeConfChange(change("v4 r3"));
    // The leaving entry does not get out.
    net.drop = (m) => m.from === 1n && m.entries.some((e) => e.type === "EntryConfChangeV2" && e.data.length === 0);
    net.settle();
    expect(net.at(2).raft.tracker.isJoint).toBe(true);
    net.nodes.set(4n, new TestNode(4n, { voters: [1n, 2n, 3n] }));
    net.drop = (m) => m.from === 1n || m.to === 1n;
    net.campaign(2);
    expect(net.at(2).state).toBe("StateLeader");
    net.tick(2, 3);
    expect(net.at(2).raft.tracker.voterIds()).toEqual([1n, 2n, 4n]);
  });
  it("malformed changes, as another member may send, are refused before anything changes", () => {
    const net = TestNetwork.of(3);
    net.campaign(1);
    const entry = { term: 0, index: 0, type: "EntryConfChangeV2" as const, data: Uint8Array.of(0x08) };
    expect(() => net.at(1).node.step(message("MsgProp", 2n, 1n, { entries: [entry] }))).toThrow(RaftDecodeError);
    expect([net.at(1).raft.log.lastIndex(), net.at(1).raft.pendingConfIndex]).toEqual([1, 0]);
  });
  it("removing a member that holds the quorum back commits what waits", () => {
    const net = TestNetwork.of(2);
    net.campaign(1);
    net.at(1).node.proposeConfChange(change("r2"));
    net.drop = (m) => m.type === "MsgAppResp" && m.index > 2;
    net.at(1).node.propose(bytes("waits"));
    net.settle();
    expect(
      net
        .at(1)
        .applied.map((e) => text(e.data))
        .at(-1),
    ).toBe("waits");
  });
});

describe("messages that do not belong here", () => {
  const [one] = entriesOfTerms(1, [1]) as [Entry];
  const append = (index: number, logTerm: number, entries: Entry[]) =>
    message("MsgApp", 2n, 1n, { term: 3, index, logTerm, entries });
  it.each([
    ["a local one from the network", message("MsgHup", 2n, 1n), "local-message"],
    ["a storage response from a peer", message("MsgStorageAppendResp", 2n, 1n), "local-message"],
    ["an answer from a stranger", message("MsgAppResp", 9n, 1n, { term: 1 }), "peer-not-found"],
    [
      "a proposal that nobody can take",
      message("MsgProp", 2n, 1n, { entries: entriesOfTerms(0, [0]) }),
      "proposal-dropped",
    ],
    ["an empty proposal", message("MsgProp", 2n, 1n), "malformed"],
    ["a read without its context", message("MsgReadIndex", 2n, 1n), "malformed"],
    ["entries with a gap", append(0, 0, [{ ...one, index: 2 }]), "malformed"],
    ["terms that fall", append(1, 2, [{ ...one, index: 2 }]), "malformed"],
    ["terms above the leader's", append(0, 0, [{ ...one, term: 9 }]), "malformed"],
    ["an append in order", append(0, 0, [one]), "ok"],
  ])("%s", (_title, m, want) => expect(new TestNode(1n).node.step(m)).toBe(want));
});
