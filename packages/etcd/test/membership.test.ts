import { Etcd } from "@keelson/etcd";
import { Cluster } from "@keelson/proto";
import { eventually, freePort, tempDir } from "@keelson/testkit";
import { silentLogger } from "@keelson/types";
import { expect, it } from "vitest";
import { TestClient, TestCluster } from "./support.ts";

it("a learner joins with the whole state, is promoted, and one that is removed stops", async () => {
  await using cluster = await TestCluster.start(3, { snapshotCount: 50, snapshotCatchUpEntries: 10 });
  const client = cluster.client(0);
  for (let i = 0; i < 100; i++) await client.put(`k${i}`, "v");
  const peer = `http://127.0.0.1:${await freePort()}`;
  const call = { timeoutMs: 10_000 };
  const added = await client.channel.unary(Cluster.method.memberAdd, { peerURLs: [peer], isLearner: true }, call);
  expect(added.members).toHaveLength(4);
  await expect(
    client.channel.unary(Cluster.method.memberPromote, { ID: added.member?.ID ?? 0n }, call),
  ).rejects.toThrow("etcdserver: can only promote a learner member which is in sync with leader");

  await using dir = await tempDir("joiner");
  const initialCluster = Object.fromEntries(cluster.running.map((m) => [m.server.config.name, m.peerUrls]));
  await using joiner = await Etcd.start({
    name: "m4",
    dataDir: dir.path,
    listenPeerUrls: [peer],
    initialCluster: { ...initialCluster, m4: peer },
    initialClusterState: "existing",
    heartbeatMs: 50,
    electionMs: 500,
    logger: silentLogger,
  });
  await joiner.ready;
  using own = new TestClient(joiner.clientUrls[0] as string);
  expect((await own.get("k99", { serializable: true })).kvs).toHaveLength(1);
  await expect(own.get("k99")).rejects.toThrow("etcdserver: rpc not supported for learner");
  await expect(own.put("a", "1")).rejects.toThrow("etcdserver: rpc not supported for learner");

  await eventually(
    async () => {
      const reply = await client.channel.unary(Cluster.method.memberPromote, { ID: joiner.server.id }, call);
      return reply.members.every((m) => !m.isLearner);
    },
    { timeoutMs: 10_000 },
  );
  await eventually(async () => {
    await own.put("from the new one", "1");
    return true;
  });
  expect(await client.value("from the new one")).toBe("1");

  await client.channel.unary(Cluster.method.memberRemove, { ID: joiner.server.id }, call);
  await joiner.failed;
  await client.put("after", "1");
  const { members } = await client.channel.unary(Cluster.method.memberList, { linearizable: true }, call);
  expect(members.map((m) => m.name)).not.toContain("m4");
});

it("a member that dials another cluster is refused", async () => {
  await using cluster = await TestCluster.start(1);
  const url = cluster.running[0]?.peerUrls[0] as string;
  const response = await fetch(`${url}/members`);
  expect(await response.json()).toMatchObject({ members: [{ name: "m1" }] });
  const { request } = await import("node:http");
  const status = await new Promise((resolve, reject) => {
    const headers = {
      Connection: "Upgrade",
      Upgrade: "keelson-raft/1",
      "X-Etcd-Cluster-ID": "bad",
      "X-Raft-To": "1",
      "X-Server-From": "1",
    };
    const req = request(`${url}/raft/stream`, { headers }, (res) => resolve([res.statusCode, res.headers["x-reason"]]));
    req.on("upgrade", () => reject(new Error("was let in")));
    req.on("error", reject);
    req.end();
  });
  expect(status).toEqual([412, expect.stringContaining("cluster ID mismatch")]);
});
