import { KV, Lease } from "@keelson/proto";
import { eventually } from "@keelson/testkit";
import { expect, it } from "vitest";
import { bytes, type TestClient, TestCluster } from "./support.ts";

const grant = async (client: TestClient, ttl: number, ID = 0n): Promise<bigint> =>
  (await client.channel.unary(Lease.method.leaseGrant, { TTL: BigInt(ttl), ID }, { timeoutMs: 5_000 })).ID;

const attach = (client: TestClient, key: string, lease: bigint) =>
  client.channel.unary(KV.method.put, { key: bytes(key), value: bytes("v"), lease }, { timeoutMs: 5_000 });

const ttl = async (client: TestClient, ID: bigint) =>
  client.channel.unary(Lease.method.leaseTimeToLive, { ID, keys: true }, { timeoutMs: 5_000 });

it("a lease that is not kept alive expires and takes its keys, not before its time", async () => {
  await using cluster = await TestCluster.start(1);
  const client = cluster.client(0);
  const id = await grant(client, 1);
  await attach(client, "a", id);
  const start = performance.now();
  await eventually(async () => ((await client.value("a")) === undefined ? true : undefined), { timeoutMs: 10_000 });
  expect(performance.now() - start).toBeGreaterThan(900);
  expect((await ttl(client, id)).TTL).toBe(-1n);
});

it("kept alive through any member it lives on, also when the leader changes", async () => {
  await using cluster = await TestCluster.start(3);
  const leader = await cluster.leaderIndex();
  const client = cluster.client((leader + 1) % 3);
  const id = await grant(client, 2);
  await attach(client, "a", id);
  const call = client.channel.bidi(Lease.method.leaseKeepAlive, {});
  const until = performance.now() + 5_000;
  let stopped = false;
  while (performance.now() < until) {
    await call.send({ ID: id });
    const step = await call.next();
    expect(step.done === true ? 0n : step.value.TTL).toBe(2n);
    if (!stopped) {
      stopped = true;
      await cluster.stopMember(leader);
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  call.cancel();
  expect(await client.value("a")).toBe("v");
  await eventually(async () => ((await client.value("a")) === undefined ? true : undefined), { timeoutMs: 10_000 });
});

it("answers for leases that are not there as upstream does", async () => {
  await using cluster = await TestCluster.start(1);
  const client = cluster.client(0);
  expect(await ttl(client, 99n)).toMatchObject({ TTL: -1n, grantedTTL: 0n, keys: [] });
  const call = client.channel.bidi(Lease.method.leaseKeepAlive, {});
  await call.send({ ID: 99n });
  const step = await call.next();
  expect(step.done === true ? undefined : step.value).toMatchObject({ ID: 99n, TTL: 0n });
  call.cancel();
  await expect(client.channel.unary(Lease.method.leaseRevoke, { ID: 99n }, { timeoutMs: 5_000 })).rejects.toThrow(
    "etcdserver: requested lease not found",
  );
  await expect(grant(client, 9_000_000_001)).rejects.toThrow("etcdserver: too large lease TTL");
  await grant(client, 60, 5n);
  await expect(grant(client, 60, 5n)).rejects.toThrow("etcdserver: lease already exists");
});

it("leases and what hangs on them survive a restart", async () => {
  await using cluster = await TestCluster.start(1);
  const id = await grant(cluster.client(0), 60);
  await attach(cluster.client(0), "a", id);
  await cluster.stopMember(0);
  await cluster.startMember(0);
  const reply = await ttl(cluster.client(0), id);
  expect(reply.grantedTTL).toBe(60n);
  expect(reply.keys.map((k) => new TextDecoder().decode(k))).toEqual(["a"]);
});
