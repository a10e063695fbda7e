import type { BidiCall } from "@keelson/grpc";
import { KV, Watch, type WatchRequestSchema, type WatchResponse, type WatchResponseSchema } from "@keelson/proto";
import { expect, it } from "vitest";
import { bytes, type TestClient, TestCluster, text } from "./support.ts";

type Call = BidiCall<typeof WatchRequestSchema, typeof WatchResponseSchema>;

/** One stream of watches. */
class Stream implements Disposable {
  readonly #call: Call;

  constructor(client: TestClient) {
    this.#call = client.channel.bidi(Watch.method.watch, {});
  }

  async create(fields: {
    key: string;
    rangeEnd?: string;
    startRevision?: bigint;
    prevKv?: boolean;
    filters?: (0 | 1)[];
    watchId?: bigint;
    fragment?: boolean;
    progressNotify?: boolean;
  }): Promise<void> {
    const value = { ...fields, key: bytes(fields.key), rangeEnd: bytes(fields.rangeEnd ?? "") };
    await this.#call.send({ requestUnion: { case: "createRequest", value } });
  }

  async cancel(watchId: bigint): Promise<void> {
    await this.#call.send({ requestUnion: { case: "cancelRequest", value: { watchId } } });
  }

  async requestProgress(): Promise<void> {
    await this.#call.send({ requestUnion: { case: "progressRequest", value: {} } });
  }

  async next(): Promise<WatchResponse> {
    const step = await this.#call.next();
    if (step.done === true) throw new Error("the stream ended");
    return step.value;
  }

  async show(): Promise<string> {
    return show(await this.next());
  }

  [Symbol.dispose](): void {
    this.#call.cancel();
  }
}

function show(r: WatchResponse): string {
  const flags = [
    r.created ? " created" : "",
    r.canceled ? " canceled" : "",
    r.fragment ? " fragment" : "",
    r.compactRevision > 0n ? ` compact=${r.compactRevision}` : "",
    r.cancelReason === "" ? "" : ` reason="${r.cancelReason}"`,
  ];
  const events = r.events.map((e) => {
    const prev = e.prevKv === undefined ? "" : ` was ${text(e.prevKv.value)}`;
    return ` ${e.type === 0 ? "PUT" : "DEL"} ${text(e.kv?.key)}=${text(e.kv?.value)}@${e.kv?.modRevision}${prev}`;
  });
  return `${r.watchId} rev=${r.header?.revision}${flags.join("")}${events.join("")}`;
}

it("several watches on one stream, with ids, filters, previous values, the past, and cancellation", async () => {
  await using cluster = await TestCluster.start(1);
  const client = cluster.client(0);
  await client.put("a", "1");
  await client.put("a", "2");
  using stream = new Stream(client);
  await stream.create({ key: "a", startRevision: 2n, prevKv: true });
  expect(await stream.show()).toBe("0 rev=3 created");
  expect(await stream.show()).toBe("0 rev=3 PUT a=1@2 PUT a=2@3 was 1");
  await stream.create({ key: "", rangeEnd: "\0", watchId: 7n, filters: [0] });
  expect(await stream.show()).toBe("7 rev=3 created");
  await stream.create({ key: "a", watchId: 7n });
  expect(await stream.show()).toBe(
    '-1 rev=3 created canceled reason="mvcc: duplicate watch ID provided on the WatchStream"',
  );
  await stream.create({ key: "b", startRevision: -1n });
  expect(await stream.show()).toBe(
    '-1 rev=3 created canceled reason="etcdserver: mvcc: required revision has been compacted"',
  );
  await stream.create({ key: "b", startRevision: 6n });
  expect(await stream.show()).toBe("1 rev=3 created");
  await client.put("b", "early");
  await client.channel.unary(KV.method.deleteRange, { key: bytes("a") }, { timeoutMs: 5_000 });
  const both = [await stream.show(), await stream.show()].toSorted();
  expect(both).toEqual(["0 rev=5 DEL a=@5 was 2", "7 rev=5 DEL a=@5"]);
  await stream.cancel(0n);
  expect(await stream.show()).toBe("0 rev=5 canceled");
  await client.put("b", "on time");
  expect(await stream.show()).toBe("1 rev=6 PUT b=on time@6");
});

it("ids of watches: any number but 0 is the client's, and one refused takes none", async () => {
  await using cluster = await TestCluster.start(1);
  using stream = new Stream(cluster.client(0));
  await stream.create({ key: "b", rangeEnd: "a" });
  expect(await stream.show()).toBe('-1 rev=1 created canceled reason="mvcc: watcher range is empty"');
  await stream.create({ key: "a" });
  expect(await stream.show()).toBe("0 rev=1 created");
  await stream.create({ key: "a", watchId: -7n });
  expect(await stream.show()).toBe("-7 rev=1 created");
  await stream.create({ key: "a", watchId: 2n ** 62n + 1n });
  expect(await stream.show()).toBe(`${2n ** 62n + 1n} rev=1 created`);
  await stream.create({ key: "b", rangeEnd: "a", watchId: -7n });
  expect(await stream.show()).toBe('-1 rev=1 created canceled reason="mvcc: watcher range is empty"');
});

it("a filter that does not exist filters nothing", async () => {
  await using cluster = await TestCluster.start(1);
  const client = cluster.client(0);
  using stream = new Stream(client);
  await stream.create({ key: "a", filters: [7 as 0] });
  expect(await stream.show()).toBe("0 rev=1 created");
  await client.put("a", "1");
  await client.channel.unary(KV.method.deleteRange, { key: bytes("a") }, { timeoutMs: 5_000 });
  expect([await stream.show(), await stream.show()]).toEqual(["0 rev=2 PUT a=1@2", "0 rev=3 DEL a=@3"]);
});

it("a progress request is answered for the whole stream, once every watch has seen everything", async () => {
  await using cluster = await TestCluster.start(1);
  const client = cluster.client(0);
  for (let i = 0; i < 10; i++) await client.put("a", String(i));
  using stream = new Stream(client);
  await stream.create({ key: "a", startRevision: 2n });
  await stream.create({ key: "b" });
  await stream.requestProgress();
  const seen: WatchResponse[] = [];
  while (seen.at(-1)?.watchId !== -1n) seen.push(await stream.next());
  expect(show(seen.at(-1) as WatchResponse)).toBe("-1 rev=11");
  expect(seen.reduce((sum, r) => sum + r.events.length, 0)).toBe(10);
});

it("progress is told now and then to those who ask for it", async () => {
  await using cluster = await TestCluster.start(1, { watchProgressNotifyMs: 100 });
  const client = cluster.client(0);
  using stream = new Stream(client);
  await stream.create({ key: "a", progressNotify: true });
  expect(await stream.show()).toBe("0 rev=1 created");
  await client.put("b", "1");
  let last = "";
  while (last !== "0 rev=2") last = await stream.show();
});

it("a compaction cancels a watch of what is gone, at its creation and later", async () => {
  await using cluster = await TestCluster.start(1);
  const client = cluster.client(0);
  for (let i = 0; i < 5; i++) await client.put("a", String(i));
  await client.channel.unary(KV.method.compact, { revision: 4n }, { timeoutMs: 5_000 });
  using stream = new Stream(client);
  await stream.create({ key: "a", startRevision: 2n });
  expect(await stream.show()).toBe("0 rev=6 created");
  // Without a revision, as upstream.
  expect(await stream.show()).toBe("0 rev=0 canceled compact=4");
  await stream.create({ key: "a", startRevision: 4n });
  expect(await stream.show()).toBe("1 rev=6 created");
  expect(await stream.show()).toBe("1 rev=6 PUT a=2@4 PUT a=3@5 PUT a=4@6");
});

it("all events of a revision come together, unless fragments are wanted", async () => {
  await using cluster = await TestCluster.start(1, { maxRequestBytes: 200_000 });
  const client = cluster.client(0);
  const value = new Uint8Array(150_000).fill(120);
  // Nine large values, deleted in one revision, with what they were: far more than one response ought to have.
  for (let i = 0; i < 9; i++) {
    await client.channel.unary(KV.method.put, { key: bytes(`k${i}`), value }, { timeoutMs: 5_000 });
  }
  const range = { key: "k", rangeEnd: "l", prevKv: true, startRevision: 11n };
  using whole = new Stream(client);
  using pieces = new Stream(client);
  await whole.create(range);
  await pieces.create({ ...range, fragment: true });
  await whole.next();
  await pieces.next();
  await client.channel.unary(KV.method.deleteRange, { key: bytes("k"), rangeEnd: bytes("l") }, { timeoutMs: 5_000 });
  expect((await whole.next()).events).toHaveLength(9);
  let events = 0;
  let responses = 0;
  for (let more = true; more; responses++) {
    const response = await pieces.next();
    events += response.events.length;
    more = response.fragment;
  }
  expect(events).toBe(9);
  expect(responses).toBeGreaterThan(1);
});

it("a watch on a follower sees every write, in order", async () => {
  await using cluster = await TestCluster.start(3);
  const follower = ((await cluster.leaderIndex()) + 1) % 3;
  const client = cluster.client((follower + 1) % 3);
  using stream = new Stream(cluster.client(follower));
  await stream.create({ key: "k", rangeEnd: "l" });
  await stream.next();
  const writes = 400;
  const write = (async () => {
    for (let i = 0; i < writes; i++) await client.put(`k${i}`, "v");
  })();
  const seen: string[] = [];
  while (seen.length < writes) for (const e of (await stream.next()).events) seen.push(text(e.kv?.key));
  await write;
  expect(seen).toEqual(Array.from({ length: writes }, (_, i) => `k${i}`));
});
