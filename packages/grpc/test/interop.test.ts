import { connect as connectTcp, createServer, type Socket } from "node:net";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata as GrpcMetadata, type ServiceError } from "@grpc/grpc-js";
import { KV, RangeRequestSchema, RangeResponseSchema, Watch } from "@keelson/proto";
import { Health } from "@keelson/proto/health";
import { afterEach, describe, expect, it } from "vitest";
import {
  Channel,
  HealthReporter,
  implement,
  RpcError,
  RpcServer,
  type RpcServerOptions,
  Status,
} from "../src/index.ts";
import { echoServices, type Seen, text, until, utf8 } from "./helpers.ts";

const cleanup: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const fn of cleanup.splice(0).toReversed()) await fn();
});

async function start(options: Partial<RpcServerOptions> = {}) {
  const seen: Seen = { contexts: [], aborted: 0, finished: 0 };
  const health = new HealthReporter();
  const server = new RpcServer({ services: [...echoServices(seen), health.service], ...options });
  const { url } = await server.listen("http://127.0.0.1:0");
  const channel = new Channel(new URL(url).host);
  cleanup.push(
    () => server.close(0),
    () => channel.close(),
  );
  return { seen, server, channel, url, health };
}

async function failure(promise: Promise<unknown>): Promise<RpcError> {
  const error = await promise.then(
    () => new Error("did not fail"),
    (e: unknown) => e,
  );
  if (!(error instanceof RpcError)) throw error;
  return error;
}

describe("unary", () => {
  it("echoes, with plain Uint8Arrays on both sides", async () => {
    const { channel } = await start();
    const reply = await channel.unary(KV.method.range, { key: utf8("k"), rangeEnd: utf8("v"), limit: 7n });
    expect(reply.count).toBe(7n);
    expect(text(reply.kvs[0]?.value)).toBe("v");
    expect(Object.getPrototypeOf(reply.kvs[0]?.key)).toBe(Uint8Array.prototype);
  });

  it("carries status, text of any script, error details and trailers", async () => {
    const { channel } = await start();
    const error = await failure(channel.unary(KV.method.range, { key: utf8("fail") }));
    expect(error.status).toBe(Status.FAILED_PRECONDITION);
    expect(error.message).toBe("etcdserver: 50% – nö\n");
    expect(error.metadata?.getBytes("grpc-status-details-bin")).toEqual(new Uint8Array([8, 9, 0xff]));
    expect(error.metadata?.get("x-more")).toBe("yes");
    expect(error.notSent).toBe(false);
  });

  it("turns an error without status into UNKNOWN with its text, as grpc-go does, or as toRpcError says", async () => {
    const { channel } = await start();
    const plain = await failure(channel.unary(KV.method.range, { key: utf8("throw") }));
    expect([plain.status, plain.message]).toEqual([Status.UNKNOWN, "plain failure"]);
    const mapped = await start({ toRpcError: () => new RpcError(Status.DATA_LOSS, "mapped") });
    expect((await failure(mapped.channel.unary(KV.method.range, { key: utf8("throw") }))).message).toBe("mapped");
  });

  it("passes metadata both ways", async () => {
    const { url, seen } = await start();
    const client = new Client(new URL(url).host, credentials.createInsecure());
    cleanup.push(() => client.close());
    const metadata = new GrpcMetadata();
    metadata.set("x-request", "abc");
    metadata.set("x-bytes-bin", Buffer.from([0, 255]));
    const trailers = await new Promise<GrpcMetadata>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        "/etcdserverpb.KV/Range",
        (m: Uint8Array) => Buffer.from(m),
        (b: Buffer) => fromBinary(RangeResponseSchema, b),
        toBinary(RangeRequestSchema, { ...emptyRange(), key: utf8("meta") }),
        metadata,
        (error: ServiceError | null) => (error === null ? undefined : reject(error)),
      );
      call.on("status", (status) => resolve(status.metadata));
    });
    expect(trailers.get("x-trailer")).toEqual(["abc"]);
    expect(seen.contexts[0]?.metadata.getBytes("x-bytes-bin")).toEqual(new Uint8Array([0, 255]));
    expect(seen.contexts[0]?.peer).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  it("ends at the deadline on both sides", async () => {
    const { channel, seen } = await start();
    const error = await failure(channel.unary(KV.method.range, { key: utf8("hang") }, { timeoutMs: 100 }));
    expect(error.status).toBe(Status.DEADLINE_EXCEEDED);
    await until("the handler was told", () => seen.aborted === 1);
    expect(seen.contexts[0]?.deadlineMs).toBeGreaterThan(0);
  });

  it("tells the handler when the client cancels", async () => {
    const { channel, seen } = await start();
    const abort = new AbortController();
    const call = channel.unary(KV.method.range, { key: utf8("hang") }, { signal: abort.signal });
    await until("the call arrived", () => seen.contexts.length === 1);
    abort.abort();
    expect((await failure(call)).status).toBe(Status.CANCELLED);
    await until("the handler was told", () => seen.aborted === 1);
  });

  it("carries 1 MiB each way and refuses more than the limit with upstream's text", async () => {
    const { channel } = await start();
    const big = new Uint8Array(1 << 20).fill(7);
    const reply = await channel.unary(KV.method.put, { key: utf8("k"), value: big });
    expect(Buffer.compare(reply.prevKv?.value ?? utf8(""), big)).toBe(0);
    const error = await failure(channel.unary(KV.method.put, { key: utf8("k"), value: new Uint8Array(3 << 20) }));
    expect(error.status).toBe(Status.RESOURCE_EXHAUSTED);
    expect(error.message).toBe("grpc: received message larger than max (3145736 vs. 2097152)");
    expect((await channel.unary(KV.method.put, { key: utf8("still works") })).prevKv?.key.length).toBe(11);
  });

  it("takes gzip requests, bounded", async () => {
    const { url } = await start();
    const client = new Client(new URL(url).host, credentials.createInsecure(), {
      "grpc.default_compression_algorithm": 2,
    });
    cleanup.push(() => client.close());
    const send = (bytes: number) =>
      new Promise<unknown>((resolve) => {
        client.makeUnaryRequest(
          "/etcdserverpb.KV/Range",
          (m: Uint8Array) => Buffer.from(m),
          (b: Buffer) => fromBinary(RangeResponseSchema, b),
          toBinary(RangeRequestSchema, { ...emptyRange(), key: utf8("k"), rangeEnd: new Uint8Array(bytes) }),
          (error: ServiceError | null, reply) => resolve(error?.details ?? reply?.kvs[0]?.value.length),
        );
      });
    expect(await send(100_000)).toBe(100_000);
    expect(await send(5_000_000)).toMatch(/larger than max/);
  });

  it("names what is not implemented as grpc-go does", async () => {
    const { channel, url } = await start();
    const error = await failure(channel.unary(KV.method.txn, {}));
    expect([error.status, error.message]).toEqual([
      Status.UNIMPLEMENTED,
      "unknown method Txn for service etcdserverpb.KV",
    ]);
    const other = new RpcServer({ services: [] });
    const { url: otherUrl } = await other.listen("http://127.0.0.1:0");
    cleanup.push(() => other.close(0));
    expect(otherUrl).not.toBe(url);
    using empty = new Channel(new URL(otherUrl).host);
    expect((await failure(empty.unary(KV.method.range, {}))).message).toBe("unknown service etcdserverpb.KV");
  });

  it("lets an interceptor refuse", async () => {
    const { channel } = await start({
      intercept: (method) => {
        if (method.desc.name === "Range") throw new RpcError(Status.UNAVAILABLE, "etcdserver: no leader");
      },
    });
    expect((await failure(channel.unary(KV.method.range, {}))).message).toBe("etcdserver: no leader");
    await channel.unary(KV.method.put, { key: utf8("k") });
  });
});

describe("streams", () => {
  it("streams a thousand replies in order, pre-encoded or not", async () => {
    const { channel } = await start();
    let next = 0n;
    for await (const reply of channel.serverStream(KV.method.rangeStream, { key: utf8("k"), limit: 1_000n })) {
      expect(reply.rangeResponse?.count ?? 0n).toBe(next++);
    }
    expect(next).toBe(1_000n);
  });

  it("delivers messages before an error", async () => {
    const { channel } = await start();
    let messages = 0;
    const error = await failure(
      (async () => {
        const replies = channel.serverStream(KV.method.rangeStream, { key: utf8("k"), limit: 3n, revision: -1n });
        for await (const _ of replies) messages++;
      })(),
    );
    expect([messages, error.message]).toEqual([3, "after some messages"]);
  });

  it("holds a producer back when the reader is slow, and ends it when the reader leaves", async () => {
    const { channel, seen } = await start();
    let produced = 0n;
    const value = new Uint8Array(64 << 10);
    for await (const reply of channel.serverStream(KV.method.rangeStream, { key: value, limit: 100_000n })) {
      produced = reply.rangeResponse?.count ?? 0n;
      if (produced >= 20n) break;
    }
    await until("the generator's finally block ran", () => seen.finished === 1);
    expect(seen.contexts[0]?.signal.aborted).toBe(true);
  });

  it("answers each request of a bidi call, ends on half-close", async () => {
    const { channel } = await start();
    const call = channel.bidi(Watch.method.watch);
    for (const key of ["a", "b"]) {
      await call.send({ requestUnion: { case: "createRequest", value: { key: utf8(key) } } });
      expect((await call.next()).value?.cancelReason).toBe(key);
    }
    call.end();
    expect((await call.next()).done).toBe(true);
  });

  it("tells a bidi handler when the client cancels", async () => {
    const { channel, seen } = await start();
    const call = channel.bidi(Watch.method.watch);
    await call.send({ requestUnion: { case: "createRequest", value: {} } });
    await call.next();
    call.cancel();
    await until("the handler was told", () => seen.aborted === 1);
  });

  it("holds a client back that sends more than the handler takes", async () => {
    let taken = 0;
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const server = new RpcServer({
      maxQueuedRequests: 4,
      services: [
        implement(Watch, {
          async *watch(requests) {
            await gate;
            for await (const _ of requests) taken++;
            yield* [];
          },
        }),
      ],
    });
    const { url } = await server.listen("http://127.0.0.1:0");
    cleanup.push(() => server.close(0));
    using channel = new Channel(new URL(url).host);
    const call = channel.bidi(Watch.method.watch);
    const key = new Uint8Array(256 << 10);
    let sent = 0;
    const sending = (async () => {
      for (; sent < 100; sent++) await call.send({ requestUnion: { case: "createRequest", value: { key } } });
      call.end();
    })();
    let last = -1;
    await until("sending stalls", () => {
      const stalled = sent > 0 && sent === last;
      last = sent;
      return stalled;
    });
    expect(sent).toBeLessThan(60);
    release();
    await sending;
    expect((await call.next()).done).toBe(true);
    expect(taken).toBe(100);
  });

  it("runs 100 calls of each kind at once", async () => {
    const { channel } = await start();
    const work = Array.from({ length: 100 }, async (_, i) => {
      const reply = await channel.unary(KV.method.range, { key: utf8("k"), limit: BigInt(i) });
      const call = channel.bidi(Watch.method.watch);
      await call.send({ requestUnion: { case: "createRequest", value: { key: utf8(String(i)) } } });
      const echo = (await call.next()).value?.cancelReason;
      call.end();
      let n = 0;
      for await (const _ of channel.serverStream(KV.method.rangeStream, { limit: 20n })) n++;
      return [reply.count, echo, n];
    });
    const results = await Promise.all(work);
    expect(results).toEqual(results.map((_, i) => [BigInt(i), String(i), 20]));
  });
});

describe("the connection", () => {
  it("serves HTTP/1.1, HTTP/2 and gRPC on one port", async () => {
    const { channel, url } = await start({
      http: async (request) =>
        request.path === "/health"
          ? { status: 200, headers: { "content-type": "application/json" }, body: `{"health":"true"}` }
          : request.path === "/echo"
            ? { status: 200, body: await request.body(100) }
            : undefined,
    });
    await channel.unary(KV.method.put, { key: utf8("k") });
    const health = await fetch(`${url}/health?x=1`);
    expect([health.status, await health.text()]).toEqual([200, `{"health":"true"}`]);
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
    expect(await (await fetch(`${url}/echo`, { method: "POST", body: "hello" })).text()).toBe("hello");
    expect((await fetch(`${url}/echo`, { method: "POST", body: "x".repeat(101) })).status).toBe(413);
    const { connect } = await import("node:http2");
    const session = connect(url);
    cleanup.push(() => session.close());
    const stream = session.request({ ":path": "/health" });
    let body = "";
    for await (const chunk of stream.setEncoding("utf8")) body += chunk;
    expect(body).toBe(`{"health":"true"}`);
  });

  it("refuses wrong methods and content types by HTTP status", async () => {
    const { url } = await start();
    const { connect } = await import("node:http2");
    const session = connect(url);
    cleanup.push(() => session.close());
    const status = (headers: Record<string, string>) =>
      new Promise<number>((resolve) => {
        const stream = session.request({ ":path": "/etcdserverpb.KV/Range", ...headers });
        stream.on("response", (h) => resolve(Number(h[":status"])));
        stream.end();
      });
    expect(await status({ ":method": "GET", "content-type": "application/grpc" })).toBe(405);
    expect(await status({ ":method": "POST", "content-type": "application/grpc+json" })).toBe(415);
  });

  it("listens on a Unix socket", async () => {
    const { mkdtemp, rm } = await import("node:fs/promises");
    const dir = await mkdtemp("/tmp/keelson-grpc-");
    cleanup.push(() => rm(dir, { recursive: true, force: true }));
    const server = new RpcServer({ services: echoServices() });
    await server.listen(`unix://${dir}/s`);
    cleanup.push(() => server.close(0));
    using channel = new Channel(`unix://${dir}/s`);
    expect((await channel.unary(KV.method.put, { key: utf8("k") })).prevKv?.key).toEqual(utf8("k"));
  });

  it("says which address is bad or taken", async () => {
    const { server, url } = await start();
    await expect(server.listen("tcp://1.2.3.4:1")).rejects.toThrow(/expected http:\/\/HOST:PORT/);
    await expect(new RpcServer({ services: [] }).listen(url)).rejects.toMatchObject({
      code: "ERR_LISTEN",
      message: `failed to listen on ${url}`,
    });
  });

  it("closes gracefully: running unary calls finish, streams end with UNAVAILABLE, new calls fail", async () => {
    const { channel, server, seen } = await start();
    const stream = channel.bidi(Watch.method.watch);
    await stream.send({ requestUnion: { case: "createRequest", value: {} } });
    await stream.next();
    const slow = channel.unary(KV.method.range, { key: utf8("hang") }, { timeoutMs: 300 });
    const slowFailed = failure(slow);
    await until("both calls arrived", () => seen.contexts.length === 2);
    const closing = server.close(5_000);
    expect((await failure(stream.next())).status).toBe(Status.UNAVAILABLE);
    expect((await slowFailed).status).toBe(Status.DEADLINE_EXCEEDED);
    await closing;
    const late = await failure(channel.unary(KV.method.put, { key: utf8("k") }));
    expect([late.status, late.notSent]).toEqual([Status.UNAVAILABLE, true]);
  });

  it("notices a dead peer by keep-alive pings", async () => {
    const { server, url } = await start({ keepAlive: { intervalMs: 50, timeoutMs: 100 } });
    const upstreams: Socket[] = [];
    let frozen = false;
    const proxy = createServer((socket) => {
      const upstream = connectTcp(Number(new URL(url).port), "127.0.0.1");
      upstreams.push(upstream);
      for (const s of [socket, upstream]) s.on("error", () => undefined);
      socket.on("data", (b) => (frozen ? undefined : upstream.write(b)));
      upstream.on("data", (b) => (frozen ? undefined : socket.write(b)));
      socket.on("close", () => (frozen ? undefined : upstream.destroy()));
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    cleanup.push(() => void proxy.close());
    const port = (proxy.address() as { port: number }).port;
    using channel = new Channel(`127.0.0.1:${port}`);
    await channel.unary(KV.method.put, { key: utf8("k") });
    frozen = true;
    await until("the server cut the connection", () => upstreams[0]?.destroyed === true);
    expect(server).toBeDefined();
  });

  it("tells its state and connects within a bound", async () => {
    const { channel, server } = await start();
    const states: string[] = [];
    using _watch = channel.onStateChange((s) => states.push(s));
    expect(await channel.connect(5_000)).toBe(true);
    expect(channel.state()).toBe("ready");
    await server.close(0);
    await until("the channel noticed", () => channel.state() !== "ready");
    expect(await channel.connect(3_000)).toBe(false);
    expect(states).toContain("ready");
  });

  it("reports health", async () => {
    const { channel, health } = await start();
    expect((await channel.unary(Health.method.check, {})).status).toBe(1);
    expect((await failure(channel.unary(Health.method.check, { service: "x" }))).status).toBe(Status.NOT_FOUND);
    const watch = channel.serverStream(Health.method.watch, {});
    expect((await watch.next()).value?.status).toBe(1);
    health.set("", "NOT_SERVING");
    expect((await watch.next()).value?.status).toBe(2);
    await watch.return?.();
  });

  it("reports each call with the status the client saw", async () => {
    const calls: string[] = [];
    const { channel } = await start({ onCall: (m, status) => calls.push(`${m.path} ${status}`) });
    await channel.unary(KV.method.put, { key: utf8("k") });
    await failure(channel.unary(KV.method.range, { key: utf8("fail") }));
    expect(calls).toEqual(["/etcdserverpb.KV/Put 0", "/etcdserverpb.KV/Range 9"]);
  });
});

function emptyRange() {
  return fromBinary(RangeRequestSchema, new Uint8Array());
}
