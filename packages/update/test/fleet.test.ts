import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Etcd } from "@keelson/etcd";
import { EtcdClient } from "@keelson/etcd-client";
import { EtcdLockStore, EtcdMembers, RebootCoordinator, Semaphore } from "@keelson/locksmith";
import { SystemClock } from "@keelson/log";
import { eventually, tempDir } from "@keelson/testkit";
import { silentLogger } from "@keelson/types";
import { expect, it } from "vitest";
import { describeEntry, etcdCheck, etcdProbe, LocksmithLock, locksmithBoard } from "../src/index.ts";
import { UpdateServer } from "../src/server/index.ts";
import { Publisher, type Shared, TestMachine } from "../src/testing/index.ts";

// Two machines with one reboot lock in a real etcd.

it("one machine finds out that v2 is bad, the other never touches it, and both take v3, one after the other", async () => {
  await using dir = await tempDir("update-fleet");
  await using etcd = await Etcd.start({ inMemory: true });
  await etcd.ready;
  const endpoint = etcd.clientUrls[0] as string;
  const connect = (endpoints: readonly string[]) => new EtcdClient({ endpoints });
  await using client = connect([endpoint]);
  const store = new EtcdLockStore(client);
  const semaphore = new Semaphore({ store, holdTtlMs: 60_000 });
  const quorum = new EtcdMembers({ client, connect, selfEndpoint: endpoint });
  /** How many hold the lock, sampled whenever a machine reboots. */
  const holders: string[][] = [];
  const shared = (id: string) => async (): Promise<Shared> => ({
    lock: new LocksmithLock(
      (onState) => new RebootCoordinator({ strategy: "etcd-lock", id, machine: id, semaphore, quorum, onState }),
    ),
    board: locksmithBoard(async () => store),
  });
  const publisher = new Publisher(dir.join("srv"));
  await mkdir(publisher.root);
  const commit = await publisher.publish("1.0.0");
  await using server = await UpdateServer.start({
    root: publisher.root,
    port: 0,
    clock: new SystemClock(),
    logger: silentLogger,
  });
  const install = async (id: string) =>
    await TestMachine.install({
      root: dir.join(id),
      repo: join(publisher.root, "repo"),
      commit,
      version: "1.0.0",
      key: publisher.keys.publicKey,
      serverUrl: server.url,
      shared: shared(id),
      policy: { machine: id, needsLock: true },
    });
  await using a = await install("a");
  await using b = await install("b");
  for (const machine of [a, b]) {
    machine.unwell.set("2.0.0", "GET /livez: ECONNREFUSED");
    machine.onReboot = async () => {
      holders.push((await semaphore.status()).holders.map((h) => h.id));
    };
  }
  const both = (version: string) =>
    [a, b].every((m) => m.booted.version === version && m.updater?.agent.phase.state === "idle");
  const wait = { timeoutMs: 60_000 };
  await publisher.publish("2.0.0");
  const canary = await eventually(() => [a, b].find((m) => (m.updater?.agent.memory.history.length ?? 0) > 0), wait);
  await eventually(() => both("1.0.0"), { ...wait, what: "both are on 1.0.0" });
  const other = canary === a ? b : a;
  expect(canary.updater?.agent.memory.history.map(describeEntry)).toEqual([
    "rolled back from 2.0.0 to 1.0.0: health gate: fleetd: GET /livez: ECONNREFUSED",
  ]);
  expect(other.boots).toEqual(["1.0.0"]);
  await publisher.publish("3.0.0");
  await eventually(() => both("3.0.0"), { ...wait, what: "both are on 3.0.0" });
  // Each reboot was under the lock, and never two machines at once; in the end nobody holds it.
  for (const ids of holders) expect(ids).toHaveLength(1);
  expect(holders.length).toBeGreaterThanOrEqual(4);
  expect((await semaphore.status()).available).toBe(1);
  expect(other.boots).toEqual(["1.0.0", "3.0.0"]);
});

it("a real member of etcd is well; one that cannot be reached is not", async () => {
  await using etcd = await Etcd.start({ inMemory: true });
  await etcd.ready;
  const signal = AbortSignal.timeout(20_000);
  const look = async (endpoint: string) => await etcdCheck(etcdProbe(endpoint)).look(signal);
  expect(await look(etcd.clientUrls[0] as string)).toEqual({ outcome: "passed", detail: "" });
  await expect(look("http://127.0.0.1:1")).rejects.toThrow();
});
