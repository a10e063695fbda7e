import { eventually } from "@keelson/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  CompactedError,
  type Compare,
  compare,
  EtcdClient,
  type EtcdClientOptions,
  EtcdError,
  type Lease,
  LeaseLostError,
  NotOwnerError,
  op,
  type Watch,
  type WatchBatch,
} from "../src/index.ts";
import { Proxy } from "./proxy.ts";
import type { TestCluster } from "./upstream.ts";

export type StartCluster = (size: number) => Promise<TestCluster>;

/** The client against one member of some etcd: every part of the API, and what connections do to it. */
export function clientSuite(name: string, start: StartCluster): void {
  describe(`client and ${name}`, () => {
    let cluster: TestCluster;
    let client: EtcdClient;
    let scope = 0;
    /** A prefix that no other test uses. */
    const fresh = () => `/${name}/${scope++}/`;
    const connect = (options: Partial<EtcdClientOptions> = {}) =>
      new EtcdClient({ endpoints: cluster.endpoints, ...options });

    beforeAll(async () => {
      cluster = await start(1);
      client = connect();
    });
    afterAll(async () => {
      client?.close();
      await cluster?.[Symbol.asyncDispose]();
    });

    kvTests(() => client, fresh);
    watchTests(() => client, fresh);
    leaseTests(() => client, connect, fresh);
    ownershipTests(() => client, fresh);
    connectionTests(() => cluster, connect, fresh);
    memberTests(
      () => client,
      () => cluster,
    );
  });
}

type Get = () => EtcdClient;
type Connect = (options?: Partial<EtcdClientOptions>) => EtcdClient;

function kvTests(get: Get, fresh: () => string): void {
  describe("kv", () => {
    it("puts, gets and deletes text and bytes", async () => {
      const client = get();
      const key = `${fresh()}k`;
      const put = await client.put(key, new Uint8Array([0, 255]));
      const kv = await client.get(key);
      expect(kv).toMatchObject({ createRevision: put.revision, modRevision: put.revision, version: 1, lease: 0n });
      expect([kv?.keyText, kv?.value]).toEqual([key, new Uint8Array([0, 255])]);
      const again = await client.put(key, "two", { prevKv: true });
      expect(again.prevKv?.value).toEqual(new Uint8Array([0, 255]));
      expect((await client.get(key, { revision: put.revision }))?.version).toBe(1);
      const gone = await client.delete(key, { prevKv: true });
      expect([gone.deleted, gone.prevKvs[0]?.text]).toEqual([1, "two"]);
      expect(await client.get(key)).toBeUndefined();
      expect((await client.delete(key)).deleted).toBe(0);
    });

    it("reads ranges with limit, order, filters and count", async () => {
      const client = get();
      const p = fresh();
      for (const k of ["b", "a", "c"]) await client.put(p + k, k);
      const keys = async (...args: Parameters<EtcdClient["range"]>) =>
        (await client.range(...args)).kvs.map((kv) => kv.keyText.slice(p.length)).join("");
      expect(await keys({ prefix: p })).toBe("abc");
      expect(await keys({ prefix: p }, { sort: { by: "create", order: "descend" } })).toBe("cab");
      expect(await keys({ from: `${p}b`, to: `${p}d` })).toBe("bc");
      const limited = await client.range({ prefix: p }, { limit: 2 });
      expect([limited.kvs.length, limited.more, limited.count]).toEqual([2, true, 3]);
      expect((await client.range({ prefix: p }, { countOnly: true })).count).toBe(3);
      expect((await client.range({ prefix: p }, { keysOnly: true })).kvs[0]?.value.length).toBe(0);
      expect((await client.range({ prefix: p }, { serializable: true })).count).toBe(3);
    });

    it("gets all of a prefix as of one revision, page by page, whatever is written meanwhile", async () => {
      const client = get();
      const p = fresh();
      for (let i = 0; i < 25; i++) await client.put(`${p}${String(i).padStart(2, "0")}`, "old");
      const all = client.getAll(p, { pageSize: 3 });
      const churn = Promise.all([client.delete({ prefix: `${p}2` }), client.put(`${p}99`, "new")]);
      const { revision, kvs } = await all;
      await churn;
      const want = await client.range({ prefix: p }, { revision });
      expect(kvs.map((kv) => `${kv.keyText} ${kv.text}`)).toEqual(want.kvs.map((kv) => `${kv.keyText} ${kv.text}`));
      expect(kvs.length).toBeGreaterThanOrEqual(20);
    });

    it("fences with transactions", async () => {
      const client = get();
      const k = `${fresh()}k`;
      const created = await client.txn().if(compare.missing(k)).then(op.put(k, "1")).else(op.get(k)).commit();
      expect([created.succeeded, created.results[0]?.type]).toEqual([true, "put"]);
      const again = await client.txn().if(compare.missing(k)).then(op.put(k, "2")).else(op.get(k)).commit();
      const read = again.results[0];
      expect([again.succeeded, read?.type === "get" && read.kvs[0]?.text]).toEqual([false, "1"]);
      const holds = async (c: Compare) => (await client.txn().if(c).commit()).succeeded;
      expect(await holds(compare.value(k, "=", "1"))).toBe(true);
      expect(await holds(compare.value(k, "!=", "1"))).toBe(false);
      expect(await holds(compare.version(k, "<", 2))).toBe(true);
      expect(await holds(compare.modRevision(k, "=", created.revision))).toBe(true);
      expect(await holds(compare.createRevision({ prefix: k }, ">", created.revision))).toBe(false);
      expect(await holds(compare.exists(`${k}none`))).toBe(false);
      expect(await holds(compare.lease(k, "=", 0n))).toBe(true);
      const nested = await client
        .txn()
        .then(op.put(k, "3"), op.txn({ compares: [], success: [op.get(k)], failure: [] }))
        .then(op.delete(`${k}2`))
        .commit();
      expect(nested.results.map((r) => r.type)).toEqual(["put", "txn", "delete"]);
    });

    it.each([
      ["an empty key", (c: EtcdClient) => c.put("", "v"), "ERR_EMPTY_KEY", "etcdserver: key is not provided"],
      [
        "an unknown lease",
        (c: EtcdClient) => c.put("k", "v", { lease: 1n }),
        "ERR_LEASE_NOT_FOUND",
        "etcdserver: requested lease not found",
      ],
      [
        "a revision of the future",
        (c: EtcdClient) => c.get("k", { revision: 2 ** 40 }),
        "ERR_FUTURE_REV",
        "etcdserver: mvcc: required revision is a future revision",
      ],
      [
        "one key twice",
        (c: EtcdClient) => c.txn().then(op.put("k", ""), op.put("k", "")).commit(),
        "ERR_DUPLICATE_KEY",
        "etcdserver: duplicate key given in txn request",
      ],
      [
        "a request that is too large",
        (c: EtcdClient) => c.put("k", new Uint8Array(1_600_000)),
        "ERR_REQUEST_TOO_LARGE",
        "etcdserver: request is too large",
      ],
    ])("%s gives upstream's error", async (_title, act, code, message) => {
      await expect(act(get())).rejects.toMatchObject({ code, message, outcomeUnknown: false });
    });

    it("compacts, and says so to who reads below", async () => {
      const client = get();
      const k = `${fresh()}k`;
      const { revision } = await client.put(k, "1");
      const { revision: later } = await client.put(k, "2");
      await client.compact(later);
      await expect(client.get(k, { revision })).rejects.toBeInstanceOf(CompactedError);
      await expect(client.compact(later)).rejects.toMatchObject({ code: "ERR_COMPACTED" });
    });
  });
}

/** Takes batches until there are `count` events. */
async function take(watch: Watch, count: number): Promise<WatchBatch[]> {
  const batches: WatchBatch[] = [];
  for (let n = 0; n < count; ) {
    const step = await watch.next();
    if (step.done === true) throw new Error(`the watch ended after ${n} of ${count} events`);
    batches.push(step.value);
    n += step.value.events.length;
  }
  return batches;
}

const show = (batches: readonly WatchBatch[], skip: number) =>
  batches.flatMap((b) => b.events.map((e) => `${e.type} ${e.kv.keyText.slice(skip)} ${e.kv.text}`));

function watchTests(get: Get, fresh: () => string): void {
  describe("watch", () => {
    it("delivers what comes after its creation, one revision in one batch", async () => {
      const client = get();
      const p = fresh();
      const watch = client.watch({ prefix: p });
      const first = await watch.created;
      const { revision } = await client
        .txn()
        .then(op.put(`${p}a`, "1"), op.put(`${p}b`, "2"))
        .commit();
      expect(revision).toBe(first);
      await client.delete(`${p}a`);
      const batches = await take(watch, 3);
      expect(show(batches, p.length)).toEqual(["put a 1", "put b 2", "delete a "]);
      expect(batches[0]).toMatchObject({ revision, events: { length: 2 } });
      watch.cancel();
      expect((await watch.next()).done).toBe(true);
    });

    it("replays from a revision, with previous values and filters", async () => {
      const client = get();
      const p = fresh();
      const { revision } = await client.put(`${p}a`, "1");
      await client.put(`${p}a`, "2");
      await client.delete(`${p}a`);
      const all = client.watch({ key: `${p}a`, startRevision: revision, prevKv: true });
      const events = (await take(all, 3)).flatMap((b) => b.events);
      expect(events.map((e) => e.prevKv?.text)).toEqual([undefined, "1", "2"]);
      const deletes = client.watch({ key: `${p}a`, startRevision: revision, filters: ["noput"] });
      expect(show(await take(deletes, 1), p.length)).toEqual(["delete a "]);
      all.cancel();
      deletes.cancel();
    });

    it("carries many watches at once and ends each by break, abort or cancel", async () => {
      const client = get();
      const p = fresh();
      const abort = new AbortController();
      const watches = Array.from({ length: 20 }, (_, i) => client.watch({ key: `${p}${i}`, signal: abort.signal }));
      await Promise.all(watches.map((w) => w.created));
      for (let i = 0; i < 20; i++) await client.put(`${p}${i}`, String(i));
      const got = await Promise.all(watches.map(async (w) => show(await take(w, 1), p.length)[0]));
      expect(got).toEqual(watches.map((_, i) => `put ${i} ${i}`));
      const ends = watches.map((w) => w.next());
      abort.abort();
      expect((await Promise.all(ends)).every((step) => step.done === true)).toBe(true);
      const { revision } = await client.put(`${p}last`, "");
      for await (const _ of client.watch({ prefix: p, startRevision: revision })) break;
    });

    it("throws CompactedError with the compact revision", async () => {
      const client = get();
      const k = `${fresh()}k`;
      await client.put(k, "1");
      const { revision } = await client.put(k, "2");
      await client.compact(revision);
      const watch = client.watch({ key: k, startRevision: 1 });
      const error = await watch.next().catch((e: unknown) => e);
      expect(error).toBeInstanceOf(CompactedError);
      expect((error as CompactedError).compactRevision).toBe(revision);
      expect((await watch.next()).done).toBe(true);
    });

    it("parks a watch whose reader is slow, loses nothing, and does not hold others back", async () => {
      const client = get();
      const p = fresh();
      const slow = client.watch({ prefix: p, maxBufferedEvents: 8 });
      const quick = client.watch({ prefix: p });
      await Promise.all([slow.created, quick.created]);
      const want: string[] = [];
      for (let i = 0; i < 120; i++) {
        await client.put(`${p}k`, String(i));
        want.push(`put k ${i}`);
      }
      expect(show(await take(quick, 120), p.length)).toEqual(want);
      expect(show(await take(slow, 120), p.length)).toEqual(want);
      slow.cancel();
      quick.cancel();
    });

    it("yields progress on request", async () => {
      const client = get();
      const k = `${fresh()}k`;
      const { revision } = await client.put(k, "1");
      const watch = client.watch({ key: `${k}other`, progressNotify: true });
      await watch.created;
      const batch = watch.next();
      await client.requestProgress();
      const step = await batch;
      expect(step.value?.events).toEqual([]);
      expect(step.value?.revision).toBeGreaterThanOrEqual(revision);
      watch.cancel();
    });
  });
}

function aborted(signal: AbortSignal): Promise<unknown> {
  if (signal.aborted) return Promise.resolve(signal.reason);
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });
}

function leaseTests(get: Get, connect: Connect, fresh: () => string): void {
  describe("lease", () => {
    it("keeps itself alive for several times its TTL, then takes its keys with it when revoked", async () => {
      const client = get();
      const k = `${fresh()}k`;
      const lease = await client.lease.grant(2);
      expect(lease.ttl).toBe(2);
      await client.put(k, "v", { lease });
      const until = performance.now() + 5_000;
      const alive = async () => (performance.now() > until ? "past" : undefined);
      await eventually(alive, { timeoutMs: 10_000, what: "two and a half times the TTL" });
      expect((await client.get(k))?.lease).toBe(lease.id);
      expect(lease.lost.aborted).toBe(false);
      const info = await client.lease.timeToLive(lease.id, { keys: true });
      expect(info).toMatchObject({ grantedTtl: 2, keys: { length: 1 } });
      expect(await client.lease.list()).toContain(lease.id);
      await lease.revoke();
      expect(await client.get(k)).toBeUndefined();
      expect(lease.lost.reason).toBeInstanceOf(LeaseLostError);
      await lease.revoke();
    });

    it("fires lost when somebody else revokes it", async () => {
      const client = get();
      const lease = await client.lease.grant(3);
      await client.lease.revoke(lease.id);
      expect(await aborted(lease.lost)).toBeInstanceOf(LeaseLostError);
      await expect(client.lease.revoke(lease.id)).rejects.toMatchObject({ code: "ERR_LEASE_NOT_FOUND" });
      expect((await client.lease.timeToLive(lease.id)).ttl).toBe(-1);
      expect(await client.lease.keepAliveOnce(lease.id)).toBe(0);
    });

    it("fires lost by the own clock when it is not renewed, before the server forgets it", async () => {
      const client = get();
      const lease = await client.lease.grant(1, { keepAlive: false });
      const other = await client.lease.grant(60, { id: lease.id + 1n });
      expect(other.id).toBe(lease.id + 1n);
      const error = await aborted(lease.lost);
      expect((error as LeaseLostError).message).toContain("was not renewed in time");
      await other.revoke();
      await expect(client.lease.grant(60, { id: 1n })).resolves.toBeDefined();
      await expect(client.lease.grant(60, { id: 1n })).rejects.toMatchObject({ code: "ERR_LEASE_EXIST" });
      await client.lease.revoke(1n);
    });

    it("is given up by a client that closes", async () => {
      const client = connect();
      const lease = await client.lease.grant(30);
      client.close();
      expect(lease.lost.aborted).toBe(true);
      await get().lease.revoke(lease.id);
    });
  });
}

function ownershipTests(get: Get, fresh: () => string): void {
  describe("election and lock", () => {
    it("elects one, fences it, and hands over when it resigns", async () => {
      const client = get();
      const name = `${fresh()}e`;
      await using a = await client.lease.grant(10);
      await using b = await client.lease.grant(10);
      const election = client.election(name);
      const first = await election.campaign("a", { lease: a });
      expect(first.key).toBe(`${name}/${a.id.toString(16)}`);
      let elected = false;
      const second = election.campaign("b", { lease: b }).then((leadership) => {
        elected = true;
        return leadership;
      });
      await first.proclaim("a2");
      expect((await election.leader())?.text).toBe("a2");
      expect(elected).toBe(false);
      const fenced = () =>
        client
          .txn()
          .if(first.compare())
          .then(op.put(`${name}-data`, "x"))
          .commit();
      expect((await fenced()).succeeded).toBe(true);
      await first.resign();
      const leadership = await second;
      expect(leadership.revision).toBeGreaterThan(first.revision);
      expect((await fenced()).succeeded).toBe(false);
      expect(first.lost.aborted).toBe(true);
      await expect(first.proclaim("late")).rejects.toBeInstanceOf(NotOwnerError);
      await leadership.resign();
      expect(await election.leader()).toBeUndefined();
    });

    it("lets a campaign be repeated with the same lease, with another value", async () => {
      const client = get();
      const name = `${fresh()}e`;
      await using lease = await client.lease.grant(10);
      const one = await client.election(name).campaign("one", { lease });
      const two = await client.election(name).campaign("two", { lease });
      expect([two.key, two.revision]).toEqual([one.key, one.revision]);
      expect((await client.election(name).leader())?.text).toBe("two");
    });

    it("withdraws when aborted, and fails when its lease ends while it waits", async () => {
      const client = get();
      const name = `${fresh()}e`;
      await using a = await client.lease.grant(10);
      await using b = await client.lease.grant(10);
      await using c = await client.lease.grant(10);
      await client.election(name).campaign("a", { lease: a });
      const abort = new AbortController();
      const waiting = client.election(name).campaign("b", { lease: b, signal: abort.signal });
      const doomed = client.election(name).campaign("c", { lease: c });
      const queued = async () => ((await client.range({ prefix: name })).count === 3 ? true : undefined);
      await eventually(queued, { what: "three contenders" });
      abort.abort();
      await expect(waiting).rejects.toMatchObject({ code: "ERR_CANCELED" });
      await client.lease.revoke(c.id);
      await expect(doomed).rejects.toBeInstanceOf(LeaseLostError);
      await eventually(async () => ((await client.range({ prefix: name })).count === 1 ? true : undefined), {
        what: "only the leader's key",
      });
    });

    it("fires lost when the lease ends or the key is deleted", async () => {
      const client = get();
      const name = `${fresh()}e`;
      const lease = await client.lease.grant(10);
      const byKey = await client.election(name).campaign("x", { lease });
      await client.delete(byKey.key);
      expect(await aborted(byKey.lost)).toBeInstanceOf(NotOwnerError);
      const byLease = await client.election(name).campaign("x", { lease });
      await client.lease.revoke(lease.id);
      expect(await aborted(byLease.lost)).toBeInstanceOf(EtcdError);
    });

    it("observes leaders and their proclamations in order", async () => {
      const client = get();
      const name = `${fresh()}e`;
      const abort = new AbortController();
      const seen: string[] = [];
      const observing = (async () => {
        for await (const kv of client.election(name).observe({ signal: abort.signal })) seen.push(kv.text);
      })();
      const saw = (text: string) =>
        eventually(async () => (seen.at(-1) === text ? true : undefined), { what: `the observer saw ${text}` });
      await using a = await client.lease.grant(10);
      await using b = await client.lease.grant(10);
      const first = await client.election(name).campaign("a", { lease: a });
      await saw("a");
      await first.proclaim("a2");
      await saw("a2");
      const second = client.election(name).campaign("b", { lease: b });
      await first.resign();
      await (await second).proclaim("b2");
      await saw("b2");
      abort.abort();
      await observing;
      expect(seen.filter((s, i) => s !== seen[i - 1])).toEqual(["a", "a2", "b", "b2"]);
    });

    it("locks: one at a time, in the order of arrival; who only tries goes away empty", async () => {
      const client = get();
      const name = `${fresh()}l`;
      const leases: Lease[] = await Promise.all([1, 2, 3, 4].map(() => client.lease.grant(10)));
      await using outsider = await client.lease.grant(10);
      const order: number[] = [];
      let inside = 0;
      await Promise.all(
        leases.map(async (lease) => {
          await using held = await client.lock(name).acquire({ lease });
          expect(++inside).toBe(1);
          expect(await client.lock(name).tryAcquire({ lease: outsider })).toBe(undefined);
          order.push(held.revision);
          inside--;
        }),
      );
      expect(order).toEqual(order.toSorted((x, y) => x - y));
      await using held = await client.lock(name).tryAcquire({ lease: outsider });
      expect(held?.key).toBe(`${name}/${outsider.id.toString(16)}`);
      await Promise.all(leases.map((lease) => lease.revoke()));
    });
  });
}

function connectionTests(get: () => TestCluster, connect: Connect, fresh: () => string): void {
  describe("connections", () => {
    it("pays one attempt for a dead endpoint", async () => {
      const [live = ""] = get().endpoints;
      await using dead = await Proxy.to(live);
      const { url } = dead;
      await dead[Symbol.asyncDispose]();
      await using client = connect({ endpoints: [url, live], random: { below: () => 0, u64: () => 0n } });
      const startMs = performance.now();
      for (let i = 0; i < 10; i++) await client.put(`${fresh()}k`, "v");
      expect(performance.now() - startMs).toBeLessThan(2_000);
    });

    it("fails in time and says that nothing was sent when no endpoint can be reached", async () => {
      const [live = ""] = get().endpoints;
      await using proxy = await Proxy.to(live);
      proxy.refuse = true;
      await using client = connect({ endpoints: [proxy.url], requestTimeoutMs: 500 });
      await expect(client.put("k", "v")).rejects.toMatchObject({ code: "ERR_UNAVAILABLE", outcomeUnknown: false });
    });

    it("does not repeat a write whose outcome is unknown, but reads again", async () => {
      const [live = ""] = get().endpoints;
      await using proxy = await Proxy.to(live);
      await using viaProxy = connect({ endpoints: [proxy.url], requestTimeoutMs: 2_000 });
      await using direct = connect();
      const k = `${fresh()}k`;
      await viaProxy.get(k);
      proxy.muteAnswers = true;
      const write = viaProxy.put(k, "once").catch((e: unknown) => e);
      await eventually(async () => ((await direct.get(k)) === undefined ? undefined : true), { what: "the write" });
      const read = viaProxy.get(k);
      proxy.muteAnswers = false;
      proxy.cut();
      expect(await write).toMatchObject({ code: "ERR_UNAVAILABLE", outcomeUnknown: true });
      expect((await read)?.text).toBe("once");
      expect((await direct.get(k))?.version).toBe(1);
    });

    it("resumes watches over cut connections without losing or repeating an event", async () => {
      const [live = ""] = get().endpoints;
      await using proxy = await Proxy.to(live);
      await using viaProxy = connect({ endpoints: [proxy.url] });
      await using direct = connect();
      const p = fresh();
      const watch = viaProxy.watch({ prefix: p });
      await watch.created;
      const want: string[] = [];
      const writing = (async () => {
        for (let i = 0; i < 400; i++) {
          await direct.put(`${p}${i % 7}`, String(i));
          want.push(`put ${i % 7} ${i}`);
          if (i % 40 === 20) proxy.cut();
        }
      })();
      const got = show(await take(watch, 400), p.length);
      await writing;
      expect(got).toEqual(want);
      expect(proxy.connections).toBeGreaterThan(3);
      watch.cancel();
    });

    it("keeps a lease over cut connections", async () => {
      const [live = ""] = get().endpoints;
      await using proxy = await Proxy.to(live);
      await using client = connect({ endpoints: [proxy.url] });
      const lease = await client.lease.grant(3);
      const until = performance.now() + 6_000;
      let cuts = 0;
      const cutting = async () => {
        if (cuts++ % 20 === 0) proxy.cut();
        return performance.now() > until ? true : undefined;
      };
      await eventually(cutting, { timeoutMs: 15_000, what: "twice the TTL" });
      expect(lease.lost.aborted).toBe(false);
      await lease.revoke();
    });

    it("cancels a request by its signal and its deadline", async () => {
      const [live = ""] = get().endpoints;
      await using proxy = await Proxy.to(live);
      await using client = connect({ endpoints: [proxy.url] });
      await client.get("k");
      proxy.muteAnswers = true;
      await expect(client.get("k", { timeoutMs: 100 })).rejects.toMatchObject({ code: "ERR_DEADLINE_EXCEEDED" });
      const abort = new AbortController();
      const read = client.get("k", { signal: abort.signal });
      abort.abort();
      await expect(read).rejects.toMatchObject({ code: "ERR_CANCELED" });
    });

    it("refuses work after it is closed", async () => {
      const client = connect();
      const watch = client.watch({ key: "k" });
      await watch.created;
      client.close();
      await expect(watch.next()).rejects.toMatchObject({ code: "ERR_CLIENT_CLOSED" });
      await expect(client.get("k")).rejects.toMatchObject({ code: "ERR_CLIENT_CLOSED" });
    });
  });
}

function memberTests(get: Get, getCluster: () => TestCluster): void {
  describe("members", () => {
    it("lists members, their status and health", async () => {
      const client = get();
      const [endpoint = ""] = getCluster().endpoints;
      const members = await client.cluster.memberList();
      expect(members).toHaveLength(1);
      const status = await client.cluster.status(endpoint);
      expect(status).toMatchObject({ endpoint, leader: members[0]?.id, memberId: members[0]?.id, isLearner: false });
      expect(status.version).toMatch(/^3\.\d+\.\d+/);
      expect(await client.cluster.health(endpoint)).toMatchObject({ healthy: true, error: undefined });
    });
  });
}
