import { create } from "@bufbuild/protobuf";
import { CompactionRequestSchema, PutRequestSchema, RangeRequestSchema } from "@keelson/proto";
import type { WriteOp } from "@keelson/storage";
import { Prng, SimClock } from "@keelson/testkit";
import { silentLogger } from "@keelson/types";
import { expect, it } from "vitest";
import { DEFAULT_CONFIG, type ServerConfig } from "./config.ts";
import type { MemberFailedError } from "./core/errors.ts";
import { META } from "./core/keys.ts";
import { MemoryStore } from "./memory-store.ts";
import { EtcdServer } from "./server.ts";
import type { PeerTransport } from "./transport/port.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const put = (key: string, value = "v") => create(PutRequestSchema, { key: bytes(key), value: bytes(value) });
const get = (key: string, serializable = false) => create(RangeRequestSchema, { key: bytes(key), serializable });

/** Nobody is there. */
const alone: PeerTransport = {
  start() {},
  setPeers() {},
  send() {},
  sendSnapshot: () => Promise.reject(new Error("alone")),
  request: () => Promise.reject(new Error("alone")),
  connectedForMs: () => undefined,
  stop: () => Promise.resolve(),
};

const THREE = new Map(["a", "b", "c"].map((name, i) => [name, [`http://h:${i + 1}`]]));

class Harness {
  readonly clock = new SimClock();
  readonly failures: MemberFailedError[] = [];
  readonly server: EtcdServer;

  constructor(store: MemoryStore, config: Partial<ServerConfig> = {}) {
    this.server = new EtcdServer({
      config: { ...DEFAULT_CONFIG, ...config },
      clock: this.clock,
      random: new Prng(1),
      store,
      transport: alone,
      logger: silentLogger,
      events: { onFailure: (error) => void this.failures.push(error) },
    });
  }

  /** Lets `ms` of virtual time pass, and everything that happens in it. */
  run(ms = 1_000): Promise<void> {
    return this.clock.runAsync(this.clock.monotonicMs() + ms);
  }

  async settled<T>(promise: Promise<T>, ms = 1_000): Promise<T | string> {
    const result = promise.catch((error: unknown) => String(error));
    await this.run(ms);
    return result;
  }
}

async function started(store = new MemoryStore(), config: Partial<ServerConfig> = {}): Promise<Harness> {
  const h = new Harness(store, config);
  await h.server.start();
  await h.run();
  return h;
}

it("a cluster of one elects itself at once, serves, and finds everything again", async () => {
  const store = new MemoryStore();
  const first = await started(store);
  expect(first.server.member.isLeader).toBe(true);
  expect(await first.settled(first.server.kv.put(put("a")))).toMatchObject({ header: { revision: 2n } });
  await first.server.stop();
  const second = await started(store);
  expect(await second.settled(second.server.kv.range(get("a")))).toMatchObject({ count: 1n });
  expect(second.server.member.state.members.list()).toMatchObject([{ name: "default" }]);
});

it("a write that fails ends the member: nothing more is acknowledged", async () => {
  class BrokenStore extends MemoryStore {
    broken = false;
    override write(ops: readonly WriteOp[]): Promise<void> {
      return this.broken ? Promise.reject(new Error("EIO")) : super.write(ops);
    }
  }
  const store = new BrokenStore();
  const h = await started(store);
  store.broken = true;
  expect(await h.settled(h.server.kv.put(put("a")))).toBe("EtcdError: etcdserver: server stopped");
  expect(h.failures).toHaveLength(1);
  expect(String(h.failures[0]?.cause)).toBe("Error: EIO");
  expect(await h.settled(h.server.kv.put(put("b")))).toBe("EtcdError: etcdserver: server stopped");
  expect(await h.settled(h.server.kv.range(get("a")))).toBe("EtcdError: etcdserver: server stopped");
});

it("without the others nothing is promised, and every request ends in time", async () => {
  const h = await started(new MemoryStore(), { name: "a", initialCluster: THREE });
  expect(h.server.member.leader).toBe(0n);
  expect(await h.settled(h.server.kv.put(put("a")), 8_000)).toBe("EtcdError: etcdserver: request timed out");
  expect(await h.settled(h.server.kv.range(get("a")), 8_000)).toBe("EtcdError: etcdserver: request timed out");
  expect(await h.settled(h.server.kv.range(get("a", true)))).toMatchObject({ count: 0n });
});

it("refuses what is too large before it is proposed", async () => {
  const h = await started(new MemoryStore(), { maxRequestBytes: 1_000 });
  const large = h.server.kv.put(put("a", "x".repeat(1_001)));
  expect(await h.settled(large)).toBe("EtcdError: etcdserver: request is too large");
  expect(h.server.member.state.mvcc.revision).toBe(1);
});

it("a physical compaction answers when the data is gone", async () => {
  const h = await started();
  for (let i = 0; i < 50; i++) await h.settled(h.server.kv.put(put("a", String(i))), 10);
  const done = h.server.kv.compact(create(CompactionRequestSchema, { revision: 40n, physical: true }));
  expect(await h.settled(done)).toMatchObject({ header: { revision: 51n } });
  expect(h.server.member.state.mvcc.scrubbing).toBe(false);
});

it("all members of a new cluster make the same id for it, and their own", async () => {
  const members = await Promise.all(
    ["a", "b", "c"].map((name) => started(new MemoryStore(), { name, initialCluster: THREE })),
  );
  expect(new Set(members.map((m) => m.server.clusterId)).size).toBe(1);
  expect(new Set(members.map((m) => m.server.id)).size).toBe(3);
});

it.each<[string, (store: MemoryStore) => Promise<void>, Partial<ServerConfig>, RegExp]>([
  [
    "another name",
    async () => {},
    { name: "x", initialCluster: new Map([["x", ["http://h:1"]]]) },
    /belongs to member "default"/,
  ],
  ["another token", async () => {}, { initialClusterToken: "t" }, /belongs to a cluster with token "etcd-cluster"/],
  ["no identity", (s) => s.write([{ type: "del", key: META.identity }]), {}, /no identity \(key midentity\)/],
  [
    "a damaged identity",
    (s) => s.write([{ type: "put", key: META.identity, value: bytes("{") }]),
    {},
    /identity \(key midentity\) cannot be read/,
  ],
  ["no hard state", (s) => s.write([{ type: "del", key: META.hardState }]), {}, /record mhardstate is missing/],
  [
    "a hole in the log",
    (s) => s.write([{ type: "del", key: Buffer.from("6c0000000000000003", "hex") }]),
    {},
    /raft log entry 3 is missing/,
  ],
  [
    "no log at all",
    (s) => s.write([{ type: "delRange", gte: bytes("l"), lt: bytes("m") }]),
    {},
    /do not fit together: remove this member/,
  ],
  [
    "a record of an unknown kind",
    (s) => s.write([{ type: "put", key: Buffer.from("6100000001ff", "hex"), value: bytes("") }]),
    {},
    /a record of an unknown kind/,
  ],
])("refuses data with %s and says what to do", async (_title, damage, config, want) => {
  const store = new MemoryStore();
  const h = await started(store);
  await h.settled(h.server.kv.put(put("a")));
  await h.server.stop();
  await damage(store);
  await expect(started(store, config)).rejects.toThrow(want);
});
