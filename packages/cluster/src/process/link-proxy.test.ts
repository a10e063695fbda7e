import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { headerOf, LinkProxy } from "./link-proxy.ts";

const open: { close(): unknown }[] = [];
afterEach(() => {
  for (const thing of open.splice(0)) thing.close();
});

async function echoServer(): Promise<Server> {
  const server = createServer((socket) => socket.on("error", () => {}).pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  open.push(server);
  return server;
}

function dial(port: number): Socket {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => {});
  open.push({ close: () => socket.destroy() });
  return socket;
}

it("passes bytes of open links, swallows those of closed ones, and drops stalled links when they open", async () => {
  const server = await echoServer();
  let cut = false;
  await using proxy = await LinkProxy.listen({
    target: { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    identify: (head) => headerOf(head, "x-server-from"),
    isOpen: (from) => !cut || from !== "a",
  });
  const a = dial(proxy.port);
  const head = "GET /raft HTTP/1.1\r\nX-Server-From: a\r\n\r\n";
  a.write(head);
  expect(String((await once(a, "data"))[0])).toBe(head);

  cut = true;
  proxy.update();
  const seen: string[] = [];
  a.on("data", (chunk) => seen.push(String(chunk)));
  a.write("lost");
  const b = dial(proxy.port);
  b.write("GET / HTTP/1.1\r\nX-Server-From: b\r\n\r\n");
  await once(b, "data");
  // b's answer came after a's write, through the same proxy: a's bytes are held back, not late.
  expect(seen).toEqual([]);

  cut = false;
  const closed = once(a, "close");
  proxy.update();
  await closed;
});

it("tells a header whatever its case, and nothing from garbage", () => {
  expect(headerOf("GET / HTTP/1.1\r\nHost: x\r\nX-SERVER-from:  8e9e  ", "X-Server-From")).toBe("8e9e");
  expect(headerOf("\0\0garbage", "X-Server-From")).toBeUndefined();
});
