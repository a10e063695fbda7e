import { connect } from "node:net";
import { KV } from "@keelson/proto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { Channel, RpcServer } from "../src/index.ts";
import { echoServices, utf8 } from "./helpers.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

/** Sends bytes and waits until the server has closed or the client has nothing more to say. */
function throwBytes(port: number, chunks: readonly Uint8Array[]): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      for (const chunk of chunks) socket.write(chunk);
      socket.end();
    });
    socket.on("error", () => undefined);
    socket.on("data", () => undefined);
    socket.on("close", () => resolve());
    socket.setTimeout(5_000, () => socket.destroy());
  });
}

const frame = fc
  .record({
    length: fc.oneof(fc.nat(40), fc.constant(0xffffff)),
    type: fc.nat(12),
    flags: fc.nat(255),
    stream: fc.oneof(fc.nat(9), fc.nat(0x7fffffff)),
    body: fc.uint8Array({ maxLength: 40 }),
  })
  .map(({ length, type, flags, stream, body }) => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, body]);
  });

it("survives random bytes, random frames and broken connections; a good client is served all along", async () => {
  const seed = Number(process.env["SEED"] ?? Date.now() & 0x7fffffff);
  const server = new RpcServer({ services: echoServices(), handshakeTimeoutMs: 500 });
  const { url } = await server.listen("http://127.0.0.1:0");
  const port = Number(new URL(url).port);
  using channel = new Channel(`127.0.0.1:${port}`);
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 4 }),
          fc.array(frame, { maxLength: 6 }).map((frames) => [PREFACE, SETTINGS, ...frames]),
          fc.uint8Array({ maxLength: 100 }).map((junk) => [Buffer.from("GET / HTTP/1.1\r\n"), junk]),
          fc.nat(23).map((n) => [PREFACE.subarray(0, n)]),
        ),
        async (chunks) => throwBytes(port, chunks),
      ),
      { numRuns: 300, seed },
    );
    const reply = await channel.unary(KV.method.put, { key: utf8("alive") }, { timeoutMs: 5_000 });
    expect(reply.prevKv?.key).toEqual(utf8("alive"));
  } finally {
    await server.close(0);
  }
});
