import { eventually } from "@keelson/testkit";
import { describe, expect, it } from "vitest";
import { EtcdClient, EtcdError } from "../src/index.ts";
import type { StartCluster } from "./suite.ts";

/** The client against three members that are killed and frozen. */
export function failoverSuite(name: string, start: StartCluster): void {
  describe(`three members of ${name}`, () => {
    it("kill -9 of each in turn: no acknowledged write is lost, the watch neither loses nor repeats", async () => {
      await using cluster = await start(3);
      await using writer = new EtcdClient({ endpoints: cluster.endpoints });
      await using reader = new EtcdClient({ endpoints: cluster.endpoints });
      const watch = reader.watch({ prefix: "/w/" });
      await watch.created;
      const acknowledged: string[] = [];
      const unknown = new Set<string>();
      let stop = false;
      let gapMs = 0;
      const writing = (async () => {
        for (let i = 0, lastMs = performance.now(); !stop; i++) {
          const value = String(i);
          try {
            await writer.put("/w/k", value);
            acknowledged.push(value);
            gapMs = Math.max(gapMs, performance.now() - lastMs);
            lastMs = performance.now();
          } catch (error) {
            if (!(error instanceof EtcdError)) throw error;
            if (error.outcomeUnknown) unknown.add(value);
          }
        }
      })();
      for (let i = 0; i < 3; i++) {
        await cluster.kill(i);
        const mark = acknowledged.length;
        const progress = async () => (acknowledged.length > mark + 20 ? true : undefined);
        await eventually(progress, { timeoutMs: 20_000, what: `20 more writes without member ${i}` });
        await cluster.start(i);
        const member = cluster.endpoints[i] ?? "";
        await eventually(async () => ((await reader.cluster.health(member)).healthy ? true : undefined), {
          timeoutMs: 20_000,
          what: `member ${i} is back`,
        });
      }
      stop = true;
      await writing;
      const { revision } = await writer.put("/w/k", "end");
      const seen: string[] = [];
      const revisions: number[] = [];
      for await (const batch of watch) {
        for (const event of batch.events) {
          seen.push(event.kv.text);
          revisions.push(event.kv.modRevision);
        }
        if (batch.revision >= revision) break;
      }
      expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
      expect(new Set(revisions).size).toBe(revisions.length);
      expect(seen.filter((v) => !unknown.has(v))).toEqual([...acknowledged, "end"]);
      process.stdout.write(
        `${name}: ${acknowledged.length} writes, ${unknown.size} of unknown outcome, longest gap ${gapMs | 0} ms\n`,
      );
    });

    it("a frozen member: reads move on, the lease lives, the watch goes on", async () => {
      await using cluster = await start(3);
      const first = { below: () => 0, u64: () => 1n };
      await using client = new EtcdClient({ endpoints: cluster.endpoints, random: first });
      await using other = new EtcdClient({ endpoints: cluster.endpoints.slice(1), random: first });
      await client.put("k", "0");
      const lease = await client.lease.grant(4);
      const watch = client.watch({ key: "k" });
      await watch.created;
      cluster.pause(0);
      try {
        await eventually(async () => (await other.get("k"))?.text, { timeoutMs: 20_000, what: "a leader" });
        expect((await client.get("k"))?.text).toBe("0");
        const { revision } = await other.put("k", "1");
        expect((await watch.next()).value?.revision).toBe(revision);
        const until = performance.now() + 8_000;
        await eventually(async () => (performance.now() > until ? true : undefined), {
          timeoutMs: 20_000,
          what: "twice the TTL",
        });
        expect(lease.lost.aborted).toBe(false);
        expect((await other.lease.timeToLive(lease.id)).ttl).toBeGreaterThanOrEqual(0);
      } finally {
        cluster.resume(0);
      }
      await lease.revoke();
    });
  });
}
