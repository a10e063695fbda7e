import { connect, createServer, type Server, type Socket } from "node:net";

/** A TCP proxy that a test can cut, or make swallow what the server answers. */
export class Proxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Client's bytes go through; the server's answers do not. */
  muteAnswers = false;
  /** New connections are refused at once. */
  refuse = false;
  connections = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async to(url: string): Promise<Proxy> {
    const { hostname, port } = new URL(url);
    const server = createServer();
    const proxy = new Proxy(server);
    server.on("connection", (client) => proxy.#accept(client, Number(port), hostname));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** Resets every open connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client: Socket, port: number, host: string): void {
    this.connections++;
    client.on("error", () => undefined);
    if (this.refuse) return void client.resetAndDestroy();
    const upstream = connect({ port, host });
    upstream.on("error", () => undefined);
    client.on("data", (bytes) => upstream.write(bytes));
    upstream.on("data", (bytes) => (this.muteAnswers ? undefined : client.write(bytes)));
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }
}
