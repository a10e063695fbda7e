import { connect, type Server, type Socket } from "node:net";

/** Connections one service may have at once; more wait in the kernel's queue until they are refused. */
const CONNECTIONS_MAX = 2048;

/** Copies connections of listening sockets to ports of this host's loopback. Half-closed connections stay so. */
export class ServiceRelay implements AsyncDisposable {
  readonly #servers: readonly Server[];
  readonly #sockets = new Set<Socket>();

  /** `servers[i]` leads to `127.0.0.1:ports[i]`. Takes the servers over. */
  constructor(servers: readonly Server[], ports: readonly number[]) {
    this.#servers = servers;
    for (const [i, server] of servers.entries()) {
      const port = ports[i] ?? 0;
      // A server that came from another process has no constructor to give this to.
      Object.assign(server, { allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
      server.maxConnections = CONNECTIONS_MAX;
      server.on("connection", (socket) => this.#relay(socket, port));
      server.on("error", () => {}); // An accept that failed (too many open files) is the client's loss.
    }
  }

  #relay(inner: Socket, port: number): void {
    const outer = connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      this.#sockets.add(socket);
      // A reset goes through: the client shall see a dead service as one that is dead, not as one that ended.
      socket.on("error", () => other.resetAndDestroy());
      socket.once("close", () => {
        this.#sockets.delete(socket);
        if (!socket.readableEnded) other.resetAndDestroy();
      });
    }
    outer.once("connect", () => {
      inner.pipe(outer);
      outer.pipe(inner);
      inner.resume();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}
