import { describe, expect, it } from "vitest";
import { message, TestNetwork, TestNode } from "../test/harness/network.ts";

const five = [1n, 2n, 3n, 4n, 5n];

describe("starting an election (paper 5.2)", () => {
  it("a follower starts when the timeout passes without a leader, votes for itself and asks the others", () => {
    const n = new TestNode(1n, { random: { below: () => 0, u64: () => 0n } });
    expect(n.tick(9)).toEqual([]);
    const sent = n.tick(1);
    expect(sent.map((m) => [m.type, m.to, m.term])).toEqual([
      ["MsgVote", 2n, 1],
      ["MsgVote", 3n, 1],
    ]);
    expect([n.state, n.raft.term, n.raft.vote]).toEqual(["StateCandidate", 1, 1n]);
  });
  it("timeouts are spread over one election timeout, so that votes are rarely split", () => {
    const seen = new Set<number>();
    for (let draw = 0; draw < 10; draw++) {
      const n = new TestNode(1n, { random: { below: () => draw, u64: () => 0n } });
      seen.add(n.raft.randomizedElectionTimeout);
    }
    expect([...seen]).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  });
  it("a heartbeat puts it off", () => {
    const n = new TestNode(1n);
    n.tick(18);
    n.receive(message("MsgHeartbeat", 2n, 1n, { term: 1 }));
    n.tick(18);
    expect([n.state, n.raft.lead]).toEqual(["StateFollower", 2n]);
  });
  it.each([
    ["a majority elects", [1n], "StateLeader"],
    ["one of two others is not needed", [], "StateCandidate"],
  ])("%s", (_title, granting, want) => {
    const n = new TestNode(1n);
    n.node.campaign();
    n.work();
    for (const from of granting) n.receive(message("MsgVoteResp", from + 1n, 1n, { term: 1 }));
    expect(n.state).toBe(want);
  });
  it("a majority of refusals ends the candidacy, without a new term", () => {
    const n = new TestNode(1n, { voters: five });
    n.node.campaign();
    n.work();
    for (const from of [2n, 3n]) n.receive(message("MsgVoteResp", from, 1n, { term: 1, reject: true }));
    expect(n.state).toBe("StateCandidate");
    n.receive(message("MsgVoteResp", 4n, 1n, { term: 1, reject: true }));
    expect([n.state, n.raft.term]).toEqual(["StateFollower", 1]);
  });
  it("repeated votes of one member count once", () => {
    const n = new TestNode(1n, { voters: five });
    n.node.campaign();
    n.work();
    for (let i = 0; i < 3; i++) n.receive(message("MsgVoteResp", 2n, 1n, { term: 1 }));
    expect(n.state).toBe("StateCandidate");
  });
  it("a candidate that hears from a leader of its term follows it", () => {
    const n = new TestNode(1n);
    n.node.campaign();
    n.work();
    n.receive(message("MsgApp", 2n, 1n, { term: 1 }));
    expect([n.state, n.raft.lead, n.raft.term]).toEqual(["StateFollower", 2n, 1]);
  });
  it("the only voter elects itself", () => {
    const n = new TestNode(1n, { voters: [1n] });
    n.node.campaign();
    n.work();
    expect(n.state).toBe("StateLeader");
  });
  it("a learner, and a node outside of the membership, never campaign", () => {
    for (const n of [new TestNode(4n, { learners: [4n] }), new TestNode(9n)]) {
      expect(n.tick(100)).toEqual([]);
      expect([n.state, n.raft.term]).toEqual(["StateFollower", 0]);
    }
  });
});

describe("granting a vote (paper 5.2, 5.4.1)", () => {
  it.each([
    ["the first to ask gets it", 0n, 2n, "granted"],
    ["the same may ask again", 2n, 2n, "granted"],
    ["nobody else does in this term", 3n, 2n, "refused"],
  ])("%s", (_title, vote, from, want) => {
    const n = new TestNode(1n, { term: 1, vote });
    const [resp] = n.receive(message("MsgVote", from, 1n, { term: 1, index: 9, logTerm: 9 }));
    expect([resp?.type, resp?.reject === true ? "refused" : "granted"]).toEqual(["MsgVoteResp", want]);
  });
  it.each([
    ["a later last term", 3, 1, true],
    ["the same last term, as long", 2, 2, true],
    ["the same last term, shorter", 2, 1, false],
    ["an earlier last term, longer", 1, 9, false],
  ])("the log of the candidate: %s", (_title, logTerm, index, granted) => {
    const n = new TestNode(1n, { terms: [1, 2], term: 2 });
    const [resp] = n.receive(message("MsgVote", 2n, 1n, { term: 3, logTerm, index }));
    expect(resp?.reject).toBe(!granted);
    expect(n.raft.term).toBe(3);
  });
  it("a vote survives a restart (thesis 3.8)", () => {
    const n = new TestNode(1n);
    n.receive(message("MsgVote", 2n, 1n, { term: 4 }));
    expect(n.storage.initialState().hardState).toEqual({ term: 4, vote: 2n, commit: 0 });
  });
});

describe("terms (paper 5.1)", () => {
  it.each(["StateFollower", "StateCandidate", "StateLeader"])("a later term makes a %s a follower", (state) => {
    const net = TestNetwork.of(3);
    if (state === "StateLeader") net.campaign(1);
    if (state === "StateCandidate") {
      net.cut(1);
      net.campaign(1);
    }
    const n = net.at(1);
    expect(n.state).toBe(state);
    n.receive(message("MsgApp", 2n, 1n, { term: 7 }));
    expect([n.state, n.raft.term, n.raft.lead]).toEqual(["StateFollower", 7, 2n]);
  });
  it("messages of an earlier term are ignored", () => {
    const n = new TestNode(1n, { term: 5 });
    expect(n.receive(message("MsgApp", 2n, 1n, { term: 4, entries: [] }))).toEqual([]);
    expect(n.raft.lead).toBe(0n);
  });
});

describe("pre-vote (thesis 9.6)", () => {
  it("a node that was cut off comes back without disturbing the leader", () => {
    const net = TestNetwork.of(3, { preVote: true, checkQuorum: true });
    net.campaign(1);
    net.cut(3);
    net.tick(3, 60);
    expect([net.at(3).state, net.at(3).raft.term]).toEqual(["StatePreCandidate", 1]);
    net.heal();
    net.tick(1);
    expect([net.states(), net.at(3).raft.term]).toEqual([["Leader", "Follower", "Follower"], 1]);
  });
  it("without it, the leader must step down", () => {
    const net = TestNetwork.of(3);
    net.campaign(1);
    net.cut(3);
    net.tick(3, 60);
    net.heal();
    net.settle(net.at(3).tick(20));
    expect(net.at(1).raft.term).toBeGreaterThan(1);
    expect(net.at(1).state).toBe("StateFollower");
  });
  it("with the lease of a live leader votes are refused, except for a transfer (thesis 4.2.3)", () => {
    const net = TestNetwork.of(3, { checkQuorum: true });
    net.campaign(1);
    net.campaign(3);
    expect([net.states(), net.at(1).raft.term]).toEqual([["Leader", "Follower", "Candidate"], 1]);
    const other = TestNetwork.of(3, { checkQuorum: true });
    other.campaign(1);
    other.at(1).node.transferLeader(3n);
    other.settle();
    expect(other.states()).toEqual(["Follower", "Follower", "Leader"]);
  });
  it("after forgetting the leader a follower votes", () => {
    const net = TestNetwork.of(3, { preVote: true, checkQuorum: true });
    net.campaign(1);
    net.cut(1);
    net.at(2).node.forgetLeader();
    net.settle();
    net.at(3).node.forgetLeader();
    net.campaign(3);
    expect(net.states()).toEqual(["Leader", "Follower", "Leader"]);
  });
});

describe("check-quorum", () => {
  it("a leader that hears from nobody steps down after an election timeout", () => {
    const net = TestNetwork.of(3, { checkQuorum: true });
    net.campaign(1);
    net.cut(1);
    net.tick(1, 10);
    expect(net.at(1).state).toBe("StateLeader");
    net.tick(1, 10);
    expect(net.at(1).state).toBe("StateFollower");
  });
  it("one that hears from a majority stays", () => {
    const net = TestNetwork.of(3, { checkQuorum: true });
    net.campaign(1);
    net.cut(3);
    net.tick(1, 50);
    expect(net.at(1).state).toBe("StateLeader");
  });
});

describe("unapplied membership changes", () => {
  it("stand in the way of a campaign", () => {
    const n = new TestNode(1n, { voters: [1n, 2n] });
    const change = { term: 1, index: 1, type: "EntryConfChangeV2" as const, data: new Uint8Array(0) };
    n.node.step(message("MsgApp", 2n, 1n, { term: 1, entries: [change], commit: 1 }));
    n.node.campaign();
    expect(n.state).toBe("StateFollower");
  });
});
