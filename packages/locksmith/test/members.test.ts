import { EtcdClient } from "@keelson/etcd-client";
import { startUpstreamEtcd } from "@keelson/testkit";
import { expect, it } from "vitest";
import { EtcdLockStore, EtcdMembers, RebootCoordinator, Semaphore } from "../src/index.ts";
import { upstreamMissing } from "./etcds.ts";

it.skipIf(upstreamMissing !== undefined)(
  "a real cluster of three: no member is taken while another is away",
  async () => {
    await using etcd = await startUpstreamEtcd({ version: "3.5", members: 3 });
    const connect = (endpoints: readonly string[]) => new EtcdClient({ endpoints });
    await using client = connect(etcd.endpoints);
    const quorum = new EtcdMembers({ client, connect, selfEndpoint: etcd.endpoints[0] });
    const seen = await quorum.look();
    const shown = seen.members.map(({ name, isHealthy, isVoter }) => `${name} ${isHealthy} ${isVoter}`);
    expect(shown.toSorted()).toEqual(["m1 true true", "m2 true true", "m3 true true"]);
    expect(seen.self).toBe(seen.members.find(({ name }) => name === "m1")?.id);
    expect((await new EtcdMembers({ client, connect, selfName: "m2" }).look()).self).toMatch(/^[0-9a-f]{16}$/);

    const semaphore = new Semaphore({ store: new EtcdLockStore(client) });
    await etcd.members[2]?.kill();
    await expect(semaphore.lock("one", { quorum })).rejects.toThrow(
      "etcd would lose its majority: of 3 members 1 would be sure to stay, 2 must (m3 is not healthy)",
    );
    const reasons: string[] = [];
    const coordinator = new RebootCoordinator({
      strategy: "etcd-lock",
      id: "one",
      semaphore,
      quorum,
      onState: ({ reason }) => void reasons.push(reason),
    });
    const waiting = coordinator.acquire(new AbortController().signal, { version: "2.0" });
    await expect.poll(() => reasons.join("; "), { timeout: 30_000 }).toContain("m3 is not healthy");
    await etcd.members[2]?.restart();
    const permit = await waiting;
    await permit.confirm();
    await coordinator.release();
  },
);
