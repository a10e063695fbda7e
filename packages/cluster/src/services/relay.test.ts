import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterEach, expect, it } from "vitest";
import { ServiceRelay } from "./relay.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** A relay in front of `service`; answers the relay's port. */
async function relayTo(port: number): Promise<number> {
  const front = createServer();
  const own = await listen(front);
  const relay = new ServiceRelay([front], [port]);
  closers.push(() => relay[Symbol.asyncDispose]());
  return own;
}

it("carries both directions, and the end of each by itself", async () => {
  const service = createServer({ allowHalfOpen: true }, (socket) => {
    const request: Buffer[] = [Buffer.from("got ")];
    socket.on("data", (chunk: Buffer) => void request.push(chunk));
    socket.once("end", () => socket.end(Buffer.concat(request)));
  });
  closers.push(async () => void service.close());
  const port = await relayTo(await listen(service));
  const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const payload = Buffer.alloc(3_000_000, "x");
  client.end(payload);
  const answer = await buffer(client);
  expect(answer.length).toBe(payload.length + 4);
  expect(answer.toString("latin1", 0, 6)).toBe("got xx");
});

it("shows a dead service as a reset, and carries on when it is back", async () => {
  const first = createServer();
  const servicePort = await listen(first);
  first.close();
  await once(first, "close");
  const port = await relayTo(servicePort);
  const client = connect(port, "127.0.0.1");
  const [error] = (await once(client, "error")) as [NodeJS.ErrnoException];
  expect(error.code).toBe("ECONNRESET");
  const again = createServer((socket) => socket.end("back"));
  again.listen(servicePort, "127.0.0.1");
  await once(again, "listening");
  closers.push(async () => void again.close());
  expect((await buffer(connect(port, "127.0.0.1"))).toString()).toBe("back");
});

it("ends connections when it is disposed of", async () => {
  const service = createServer((socket) => void socket.on("error", () => {}));
  closers.push(async () => void service.close());
  const front = createServer();
  const servicePort = await listen(service);
  const port = await listen(front);
  const relay = new ServiceRelay([front], [servicePort]);
  const client = connect(port, "127.0.0.1");
  client.on("error", () => {});
  await once(service, "connection");
  await relay[Symbol.asyncDispose]();
  await once(client, "close");
  await expect(once(connect(port, "127.0.0.1"), "connect")).rejects.toThrow(/ECONNREFUSED/);
});
