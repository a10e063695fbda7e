import { eventually } from "@keelson/testkit";
import { type Logger, silentLogger } from "@keelson/types";
import { expect, it } from "vitest";
import { TestCluster, text } from "./support.ts";

it("three members over real sockets: any of them takes writes and gives linearizable reads", async () => {
  await using cluster = await TestCluster.start(3);
  for (let i = 0; i < 3; i++) {
    await cluster.client(i).put(`k${i}`, `v${i}`);
    for (let j = 0; j < 3; j++) expect(await cluster.client(j).value(`k${i}`)).toBe(`v${i}`);
  }
  expect(await cluster.converged()).toBe(4);
});

it("all members restart from disk with everything they had", async () => {
  await using cluster = await TestCluster.start(3);
  const client = cluster.client(0);
  await Promise.all(Array.from({ length: 200 }, (_, i) => client.put(`k${i}`, `v${i}`)));
  const before = await cluster.converged();
  for (let i = 0; i < 3; i++) await cluster.stopMember(i);
  await Promise.all([0, 1, 2].map((i) => cluster.startMember(i)));
  await Promise.all(cluster.running.map((m) => m.ready));
  expect(await cluster.converged()).toBe(before);
  expect(await cluster.client(2).value("k199")).toBe("v199");
});

it("a leader that stops hands over, and the service goes on", async () => {
  await using cluster = await TestCluster.start(3);
  const leader = await cluster.leaderIndex();
  const other = cluster.client((leader + 1) % 3);
  await other.put("a", "1");
  const start = performance.now();
  await cluster.stopMember(leader, true);
  await other.put("a", "2");
  expect(performance.now() - start).toBeLessThan(2_000);
  await cluster.startMember(leader);
  expect(await cluster.client(leader).value("a")).toBe("2");
});

it("a member that fell behind the compacted log gets the state as a snapshot, while writes go on", async () => {
  const messages: string[] = [];
  const logger: Logger = { ...silentLogger, info: (m) => void messages.push(m), child: () => logger };
  await using cluster = await TestCluster.start(3, { snapshotCount: 50, snapshotCatchUpEntries: 10 }, logger);
  const late = ((await cluster.leaderIndex()) + 1) % 3;
  const client = cluster.client((late + 1) % 3);
  await client.put("first", "1");
  const goneAt = cluster.members[late]?.server.member.state.applied.index ?? 0;
  await cluster.stopMember(late);
  // Larger than one chunk of the stream.
  const big = "x".repeat(20_000);
  for (let i = 0; i < 300; i++) await client.put(`k${i % 100}`, `${i} ${big}`);
  const leader = await cluster.leaderIndex();
  const first = (cluster.members[leader]?.server.member.state.applied.index ?? 0) - 60;
  expect(first).toBeGreaterThan(goneAt);
  await cluster.startMember(late);
  let writing = true;
  const writer = (async () => {
    for (let i = 0; writing; i++) await client.put("during", String(i));
  })();
  try {
    await eventually(() => cluster.members[late]?.server.member.state.mvcc.keys === 102, { timeoutMs: 30_000 });
  } finally {
    writing = false;
    await writer;
  }
  expect(messages).toContain("applied snapshot");
  await cluster.converged();
  expect(await cluster.client(late).value("k7")).toBe(`207 ${big}`);
  // And it survives a restart on the installed state.
  await cluster.stopMember(late);
  await cluster.startMember(late);
  await cluster.converged();
  const { kvs } = await cluster.client(late).get("first", { serializable: true });
  expect(text(kvs[0]?.value)).toBe("1");
});

it("without a quorum there are no writes and no linearizable reads, but serializable ones; then all goes on", async () => {
  await using cluster = await TestCluster.start(3);
  await cluster.client(0).put("a", "1");
  await cluster.converged();
  await cluster.stopMember(1);
  await cluster.stopMember(2);
  const alone = cluster.client(0);
  await eventually(() => cluster.members[0]?.server.member.leader === 0n);
  await Promise.all([
    expect(alone.put("a", "2")).rejects.toThrow(/etcdserver: request timed out/),
    expect(alone.get("a")).rejects.toThrow(/etcdserver: request timed out/),
  ]);
  expect((await alone.get("a", { serializable: true })).kvs).toHaveLength(1);
  await cluster.startMember(1);
  await alone.put("a", "3");
  expect(await alone.value("a")).toBe("3");
});

it("hashKV agrees on all members", async () => {
  await using cluster = await TestCluster.start(3);
  const client = cluster.client(1);
  for (let i = 0; i < 50; i++) await client.put(`k${i % 7}`, `v${i}`);
  const revision = await cluster.converged();
  const hashes = await Promise.all([0, 1, 2].map((i) => cluster.client(i).hash(BigInt(revision))));
  expect(new Set(hashes).size).toBe(1);
});
