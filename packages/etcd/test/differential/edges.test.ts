import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { Etcd } from "@keelson/etcd";
import { Channel } from "@keelson/grpc";
import { Cluster, Maintenance } from "@keelson/proto";
import { startUpstreamEtcd, type UpstreamEtcd, upstreamEtcdServer } from "@keelson/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";

// What cannot be said with the generated messages, and plain HTTP: side by side with Debian's etcd 3.5.

const available = await upstreamEtcdServer("3.5");
if (!available.ok) process.stderr.write(`differential tests are skipped: ${available.reason}\n`);
let upstream: UpstreamEtcd;
let ours: Etcd;
beforeAll(async () => {
  if (!available.ok) return;
  upstream = await startUpstreamEtcd({ version: "3.5", members: 1, flags: ["--unsafe-no-fsync"] });
  ours = await Etcd.start({ inMemory: true });
});
afterAll(async () => {
  await ours?.close();
  await upstream?.[Symbol.asyncDispose]();
});
const urls = () => [upstream.endpoints[0] as string, ours.clientUrls[0] as string] as const;

/** A put of `a` with a value of `length` bytes, as it is on the wire. */
function putOf(length: number): Buffer {
  const varint: number[] = [];
  for (let rest = length; ; rest >>>= 7) {
    varint.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  return Buffer.concat([Buffer.from([0x0a, 1, 0x61, 0x12, ...varint]), Buffer.alloc(length)]);
}

async function call(url: string, path: string, body: Buffer): Promise<string> {
  const client = new Client(new URL(url).host, credentials.createInsecure());
  const { promise, resolve } = Promise.withResolvers<string>();
  const same = (bytes: Buffer) => bytes;
  const done = (error: ServiceError | null) => resolve(error === null ? "ok" : `${error.code} ${error.details}`);
  client.makeUnaryRequest(path, same, same, body, { deadline: Date.now() + 10_000 }, done);
  return promise.finally(() => client.close());
}

const MAX = 1_572_864;
const OVERHEAD = 512 * 1024;

it.skipIf(!available.ok).each<[string, string, Buffer]>([
  ["an unknown method", "/etcdserverpb.KV/Nope", Buffer.alloc(0)],
  ["an unknown service", "/no.Such/Thing", Buffer.alloc(0)],
  ["a path without a method", "/noslash", Buffer.alloc(0)],
  ["the largest value", "/etcdserverpb.KV/Put", putOf(MAX - 100)],
  ["a request larger than a request may be", "/etcdserverpb.KV/Put", putOf(MAX)],
  ["one at the limit of gRPC", "/etcdserverpb.KV/Put", putOf(MAX + OVERHEAD - 7)],
  ["one byte more", "/etcdserverpb.KV/Put", putOf(MAX + OVERHEAD - 6)],
  ["defragment", "/etcdserverpb.Maintenance/Defragment", Buffer.alloc(0)],
  ["a member without URLs", "/etcdserverpb.Cluster/MemberAdd", Buffer.alloc(0)],
  ["health", "/grpc.health.v1.Health/Check", Buffer.alloc(0)],
  ["health of an unknown service", "/grpc.health.v1.Health/Check", Buffer.from([0x0a, 1, 0x61])],
  ["authentication that is off", "/etcdserverpb.Auth/Authenticate", Buffer.alloc(0)],
])("gRPC: %s", async (_title, path, body) => {
  const [theirs, mine] = await Promise.all(urls().map((url) => call(url, path, body)));
  expect(mine).toBe(theirs);
});

it.skipIf(!available.ok)(
  "gRPC: bytes that are no message: the same status; the text is each library's own",
  async () => {
    const answers = urls().map((url) => call(url, "/etcdserverpb.KV/Range", Buffer.from([0x0a, 5, 0x61])));
    for (const answer of await Promise.all(answers)) expect(answer).toMatch(/^13 grpc: error unmarshalling request: /);
  },
);

it.skipIf(!available.ok)("gRPC: the hash of a store that was never compacted says so with -1", async () => {
  const answers = urls().map(async (url) => {
    using channel = new Channel(new URL(url).host);
    return (await channel.unary(Maintenance.method.hashKV, {}, { timeoutMs: 10_000 })).compactRevision;
  });
  expect(await Promise.all(answers)).toEqual([-1n, -1n]);
});

it.skipIf(!available.ok)("gRPC: an update looks for the member before it looks at the URLs", async () => {
  const answers = urls().map(async (url) => {
    using channel = new Channel(new URL(url).host);
    const request = { ID: 5n, peerURLs: ["x"] };
    return await channel
      .unary(Cluster.method.memberUpdate, request, { timeoutMs: 10_000 })
      .catch((error: unknown) => String(error));
  });
  const [theirs, mine] = await Promise.all(answers);
  expect(mine).toBe(theirs);
  expect(mine).toContain("etcdserver: member not found");
});

it.skipIf(!available.ok).each([
  ["GET", "/health"],
  ["POST", "/health"],
  ["HEAD", "/health"],
  ["GET", "/health?exclude=NOSPACE"],
  ["GET", "/health?serializable=true"],
  ["POST", "/version"],
  ["GET", "/livez"],
  ["GET", "/livez?verbose"],
  ["GET", "/livez/serializable_read"],
  ["GET", "/readyz"],
  ["GET", "/readyz/linearizable_read"],
  // non_learner came with 3.6.
  ["GET", "/readyz?verbose&exclude=non_learner"],
  ["GET", "/readyz?exclude=nope"],
  ["GET", "/readyz/nope"],
  ["GET", "/nope"],
])("HTTP: %s %s", async (method, path) => {
  const ask = async (url: string) => {
    // Upstream's checks are in the order of a Go map.
    const { status, headers, text } = await fetch(url + path, { method }).then(async (r) => ({
      status: r.status,
      headers: r.headers,
      text: await r.text(),
    }));
    return {
      status,
      type: headers.get("content-type"),
      allow: headers.get("allow"),
      lines: text.split("\n").toSorted(),
    };
  };
  const [theirs, mine] = await Promise.all(urls().map(ask));
  expect(mine).toEqual(theirs);
});

/** What upstream's alerts and dashboards are made of (contrib/mixin), without what only clusters of several have. */
const ALERTED = [
  "etcd_server_has_leader",
  "etcd_server_leader_changes_seen_total",
  "etcd_server_proposals_failed_total",
  "etcd_server_proposals_committed_total",
  "etcd_server_proposals_applied_total",
  "etcd_server_proposals_pending",
  "grpc_server_handled_total",
  "grpc_server_started_total",
  "etcd_disk_wal_fsync_duration_seconds",
  "etcd_disk_backend_commit_duration_seconds",
  "etcd_mvcc_db_total_size_in_bytes",
  "etcd_mvcc_db_total_size_in_use_in_bytes",
  "etcd_server_quota_backend_bytes",
  "etcd_server_health_success",
  "etcd_server_health_failures",
  "process_start_time_seconds",
  "process_resident_memory_bytes",
  "process_open_fds",
];

it.skipIf(!available.ok)("metrics: what alerts look at is there, under its name and with its type", async () => {
  const [theirs, mine] = await Promise.all(urls().map(metricTypes));
  for (const name of ALERTED) expect(`${name} ${mine?.get(name)}`).toBe(`${name} ${theirs?.get(name)}`);
  // Whatever has a name of upstream's has its type, too.
  for (const [name, type] of mine ?? []) expect(`${name} ${theirs?.get(name) ?? type}`).toBe(`${name} ${type}`);
});

async function metricTypes(url: string): Promise<Map<string, string>> {
  const body = await (await fetch(`${url}/metrics`)).text();
  return new Map(Array.from(body.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name = "", type = ""]) => [name, type]));
}
