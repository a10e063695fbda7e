import { spawn } from "node:child_process";
import type { Server } from "node:net";
import { ClusterError } from "../errors.ts";

const TIMEOUT_MS = 20_000;

/** Runs inside the namespace: listens on each port and hands the listening sockets to its parent. */
const LISTEN = `
const { createServer } = require("node:net");
const [address, ...ports] = process.argv.slice(1);
let left = ports.length;
for (const port of ports) {
  const server = createServer();
  server.on("error", (error) => { console.error(error.message); process.exit(1); });
  server.listen(Number(port), address, () => process.send({ port: Number(port) }, server, () => {
    server.close();
    if (--left === 0) process.disconnect();
  }));
}`;

/**
 * Sockets that listen inside a network namespace and are served by this process, which is outside of it: a socket stays
 * in the namespace it was made in, whoever holds it. So nothing has to be forwarded between namespaces.
 *
 * @throws ClusterError with what the helper said
 */
export async function listenInNamespace(netns: string, address: string, ports: readonly number[]): Promise<Server[]> {
  const servers = new Map<number, Server>();
  if (ports.length === 0) return [];
  const child = spawn(
    "nsenter",
    [`--net=/run/netns/${netns}`, process.execPath, "-e", LISTEN, "--", address, ...ports.map(String)],
    { stdio: ["ignore", "ignore", "pipe", "ipc"] },
  );
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-2000);
  });
  child.on("message", ({ port }: { port: number }, server) => void servers.set(port, server as Server));
  const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once("error", (error) => {
    said += error.message;
    resolve();
  });
  child.once("close", () => resolve());
  await promise;
  clearTimeout(timer);
  const found = ports.flatMap((port) => servers.get(port) ?? []);
  if (found.length === ports.length) return found;
  for (const server of found) server.close();
  throw new ClusterError(`cannot listen on ${address} in the network namespace ${netns}: ${said.trim() || "timeout"}`);
}
