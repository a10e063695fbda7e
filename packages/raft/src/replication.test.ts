import { describe, expect, it } from "vitest";
import { bytes, message, TestNetwork, TestNode, text } from "../test/harness/network.ts";
import type { Message } from "./types.ts";

function leader(options: ConstructorParameters<typeof TestNode>[1] = {}): TestNode {
  const n = new TestNode(1n, options);
  n.node.campaign();
  n.work();
  n.receive(message("MsgVoteResp", 2n, 1n, { term: n.raft.term }));
  expect(n.state).toBe("StateLeader");
  return n;
}

const appends = (sent: readonly Message[], to: bigint): Message[] =>
  sent.filter((m) => m.type === "MsgApp" && m.to === to);

describe("replication (paper 5.3)", () => {
  it("a leader appends, sends to all, and commits with a majority", () => {
    const net = TestNetwork.of(5);
    net.campaign(1);
    net.cut(4, 5);
    net.propose(1, "some data");
    expect([1, 2, 3].map((id) => net.at(id).raft.log.committed)).toEqual([2, 2, 2]);
    expect(net.at(3).applied.map((e) => text(e.data))).toEqual(["", "some data"]);
    net.cut(3, 4, 5);
    net.propose(1, "more");
    expect(net.at(1).raft.log.committed).toBe(2);
  });
  it("entries of earlier terms are committed only along with one of its own (paper 5.4.2, figure 8)", () => {
    const n = new TestNode(1n, { terms: [1, 2], term: 2 });
    n.node.campaign();
    n.work();
    n.receive(message("MsgVoteResp", 2n, 1n, { term: 3 }));
    n.receive(message("MsgAppResp", 2n, 1n, { term: 3, index: 2 }));
    expect(n.raft.log.committed).toBe(0);
    n.receive(message("MsgAppResp", 2n, 1n, { term: 3, index: 3 }));
    expect(n.raft.log.committed).toBe(3);
  });
  it.each([
    // The leader's terms and a follower's, as in figure 7 of the paper, for a leader of term 8.
    ["a: entries missing", [1, 1, 1, 4, 4, 5, 5, 6, 6]],
    ["b: many missing", [1, 1, 1, 4]],
    ["c: one too many", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
    ["d: of a later term", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
    ["e: missing and too many", [1, 1, 1, 4, 4, 4, 4]],
    ["f: a long other tail", [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
  ])("figure 7, follower %s: the leader's log wins", (_title, terms) => {
    const lead = new TestNode(1n, { terms: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6], term: 7 });
    const follower = new TestNode(2n, { terms, term: 7 });
    const net = new TestNetwork([lead, follower, new TestNode(3n)]);
    net.campaign(1);
    net.propose(1, "x");
    expect(lead.raft.term).toBe(8);
    expect(follower.terms()).toEqual([1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8, 8]);
    expect(follower.raft.log.committed).toBe(12);
    // Terms are skipped as a whole.
    const refused = net.delivered.filter((m) => m.from === 2n && m.reject).length;
    expect(refused).toBeLessThanOrEqual(3);
  });
  it("a follower accepts only what fits, and tells where the logs may agree", () => {
    const n = new TestNode(1n, { terms: [1, 2], term: 2 });
    const [good] = n.receive(message("MsgApp", 2n, 1n, { term: 2, index: 1, logTerm: 1, entries: [] }));
    expect([good?.reject, good?.index]).toEqual([false, 1]);
    const [bad] = n.receive(message("MsgApp", 2n, 1n, { term: 2, index: 2, logTerm: 1 }));
    expect([bad?.reject, bad?.index, bad?.rejectHint, bad?.logTerm]).toEqual([true, 2, 1, 1]);
  });
  it("an append from before the commit index is answered with the commit index", () => {
    const n = new TestNode(1n, { terms: [1, 1, 1], term: 1, commit: 3 });
    const [resp] = n.receive(message("MsgApp", 2n, 1n, { term: 1, index: 1, logTerm: 1 }));
    expect([resp?.reject, resp?.index]).toEqual([false, 3]);
  });
  it("a heartbeat does not commit what a follower may hold differently", () => {
    const net = TestNetwork.of(3);
    net.campaign(1);
    net.cut(3);
    net.propose(1, "a");
    const heartbeat = net
      .at(1)
      .tick(1)
      .find((m) => m.to === 3n);
    expect([heartbeat?.type, heartbeat?.commit]).toEqual(["MsgHeartbeat", 1]);
  });
});

describe("flow control", () => {
  it("replication stops at the limit of messages and goes on with each acknowledgement", () => {
    const n = leader({ maxInflightMsgs: 3 });
    n.receive(message("MsgAppResp", 2n, 1n, { term: 1, index: 1 }));
    const sent: Message[] = [];
    for (let i = 0; i < 6; i++) {
      n.node.propose(bytes("x"));
      sent.push(...n.work());
    }
    expect(appends(sent, 2n).map((m) => m.entries[0]?.index)).toEqual([2, 3, 4]);
    // What is sent then takes as much as fits into one message.
    const more = n.receive(message("MsgAppResp", 2n, 1n, { term: 1, index: 2 }));
    expect(appends(more, 2n).flatMap((m) => m.entries.map((e) => e.index))).toEqual([5, 6, 7]);
  });
  it("replication stops at the limit of bytes", () => {
    const n = leader({ maxInflightBytes: 2500, maxSizePerMsg: 2000 });
    n.receive(message("MsgAppResp", 2n, 1n, { term: 1, index: 1 }));
    const sent: Message[] = [];
    for (let i = 0; i < 6; i++) {
      n.node.propose(new Uint8Array(1000));
      sent.push(...n.work());
    }
    expect(appends(sent, 2n)).toHaveLength(3);
  });
  it("when all of it is lost, the answer to a heartbeat gets things moving", () => {
    const n = leader({ maxInflightMsgs: 1 });
    n.receive(message("MsgAppResp", 2n, 1n, { term: 1, index: 1 }));
    n.node.propose(bytes("a"));
    n.node.propose(bytes("b"));
    n.work();
    const probe = n.receive(message("MsgHeartbeatResp", 2n, 1n, { term: 1 }));
    expect(appends(probe, 2n).map((m) => [m.index, m.entries.length])).toEqual([[2, 0]]);
    const repeat = n.receive(
      message("MsgAppResp", 2n, 1n, { term: 1, index: 2, reject: true, rejectHint: 1, logTerm: 1 }),
    );
    expect(appends(repeat, 2n).map((m) => m.entries.map((e) => e.index))).toEqual([[2, 3]]);
  });
  it("a probed follower gets one append until it answers", () => {
    const n = leader();
    const sent: Message[] = [];
    for (let i = 0; i < 5; i++) {
      n.node.propose(bytes("x"));
      sent.push(...n.work());
    }
    expect(appends(sent, 3n)).toHaveLength(0);
    expect(appends(n.receive(message("MsgHeartbeatResp", 3n, 1n, { term: 1 })), 3n)).toHaveLength(1);
  });
  it("entries are split over messages of limited size", () => {
    const n = leader({ maxSizePerMsg: 0 });
    for (let i = 0; i < 3; i++) n.node.propose(bytes("x"));
    n.work();
    const sent = n.receive(message("MsgAppResp", 2n, 1n, { term: 1, index: 1 }));
    expect(appends(sent, 2n).map((m) => m.entries.map((e) => e.index))).toEqual([[2], [3], [4]]);
  });
  it("a large uncommitted tail refuses proposals until it has been applied", () => {
    const n = leader({ maxUncommittedEntriesSize: 10 });
    expect(n.node.propose(new Uint8Array(8))).toBe("ok");
    expect(n.node.propose(new Uint8Array(3))).toBe("proposal-dropped");
    expect(n.node.propose(new Uint8Array(0))).toBe("ok");
    n.work();
    n.receive(message("MsgAppResp", 2n, 1n, { term: 1, index: 3 }));
    expect(n.raft.uncommittedBytes).toBe(0);
    // Into an empty tail goes anything.
    expect(n.node.propose(new Uint8Array(99))).toBe("ok");
  });
});

describe("snapshots (paper 7)", () => {
  function withLaggard(): TestNetwork {
    const net = TestNetwork.of(3);
    net.campaign(1);
    net.cut(3);
    for (const data of ["a", "b", "c"]) net.propose(1, data);
    const { storage, raft } = net.at(1);
    storage.createSnapshot(raft.log.applied, raft.tracker.confState(), bytes("abc"));
    storage.compact(raft.log.applied);
    return net;
  }
  it("a follower behind the log gets one, and then the log", () => {
    const net = withLaggard();
    net.heal();
    net.propose(1, "d");
    expect(net.at(3).storage.snapshot().metadata.index).toBe(4);
    expect(net.at(3).raft.log.committed).toBe(5);
    expect(net.at(1).node.status().progress.get(3n)?.state).toBe("StateReplicate");
  });
  it("nothing else is sent meanwhile; a failure is reported and leads to another try", () => {
    const net = withLaggard();
    net.drop = (m) => m.type === "MsgSnap";
    net.propose(1, "d");
    const progress = () => net.at(1).node.status().progress.get(3n);
    expect([progress()?.state, progress()?.pendingSnapshot, progress()?.paused]).toEqual(["StateSnapshot", 4, true]);
    net.at(1).node.reportSnapshot(3n, false);
    expect([progress()?.state, progress()?.next]).toEqual(["StateProbe", 2]);
    net.heal();
    net.tick(1);
    expect(net.at(3).raft.log.committed).toBe(5);
  });
  it("one that is reported as arrived is waited for", () => {
    const net = withLaggard();
    net.drop = (m) => m.type === "MsgSnap";
    net.propose(1, "d");
    net.at(1).node.reportSnapshot(3n, true);
    const pr = net.at(1).node.status().progress.get(3n);
    expect([pr?.state, pr?.next, pr?.paused]).toEqual(["StateProbe", 5, true]);
  });
  it("is not sent to a member that is not heard from", () => {
    const net = withLaggard();
    const pr = net.at(1).raft.tracker.get(3n);
    if (pr !== undefined) pr.recentActive = false;
    net.propose(1, "d");
    expect(net.delivered.some((m) => m.type === "MsgSnap")).toBe(false);
    expect(pr?.state).not.toBe("StateSnapshot");
  });
  it.each([
    ["older than the commit index", 2, 1, "ignored"],
    ["of entries it has: only the commit index moves", 3, 1, "fast-forward"],
    ["not about this node", 9, 1, "stranger"],
  ])("a snapshot %s", (_title, index, term, kind) => {
    const n = new TestNode(1n, { terms: [1, 1, 1, 1], term: 1, commit: 2 });
    const voters = kind === "stranger" ? [7n] : [1n, 2n, 3n];
    const confState = { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
    const snapshot = { data: new Uint8Array(0), metadata: { index, term, confState } };
    const [resp] = n.receive(message("MsgSnap", 2n, 1n, { term: 1, snapshot }));
    const committed = kind === "fast-forward" ? 3 : 2;
    expect([resp?.index, n.raft.log.committed, n.raft.log.lastIndex()]).toEqual([committed, committed, 4]);
  });
  it("with an illegal membership is refused before anything changes", () => {
    const n = new TestNode(1n, { terms: [1], term: 1 });
    const confState = { voters: [], learners: [1n], votersOutgoing: [], learnersNext: [], autoLeave: false };
    const snapshot = { data: new Uint8Array(0), metadata: { index: 9, term: 1, confState } };
    expect(() => n.receive(message("MsgSnap", 2n, 1n, { term: 1, snapshot }))).toThrow("removed all voters");
    expect([n.raft.log.committed, n.raft.log.lastIndex(), n.raft.tracker.voterIds()]).toEqual([0, 1, [1n, 2n, 3n]]);
  });
});
