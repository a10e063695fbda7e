import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { CoreError } from "@keelson/types";

/** The peer address cannot be listened on. */
export class PeerListenError extends CoreError<"ERR_ETCD_PEER_LISTEN"> {
  readonly code = "ERR_ETCD_PEER_LISTEN";
}

/** Where peers connect: HTTP with an Upgrade, and a few plain pages for those who join. */
export class PeerListener {
  readonly #servers: Server[];
  readonly urls: readonly string[];
  /** Set by the transport; until then peers are told to come back. */
  onUpgrade: ((req: IncomingMessage, socket: Duplex, head: Buffer) => void) | undefined;
  /** The body and type of a plain GET, or undefined for 404. */
  onGet: ((path: string) => string | undefined) | undefined;

  private constructor(servers: Server[], urls: readonly string[]) {
    this.#servers = servers;
    this.urls = urls;
  }

  /** @throws PeerListenError naming the address */
  static async listen(urls: readonly string[]): Promise<PeerListener> {
    const servers: Server[] = [];
    const bound: string[] = [];
    const listener: { it?: PeerListener } = {};
    try {
      for (const url of urls) {
        const server = createServer({ headersTimeout: 10_000 }, (req, res) => {
          const body = req.method === "GET" ? listener.it?.onGet?.(req.url ?? "/") : undefined;
          res.writeHead(body === undefined ? 404 : 200, { "Content-Type": "application/json" });
          res.end(body ?? "");
        });
        server.on("upgrade", (req, socket, head) => {
          const handle = listener.it?.onUpgrade;
          if (handle !== undefined) return handle(req, socket, head);
          socket.on("error", () => undefined);
          socket.end("HTTP/1.1 503 Service Unavailable\r\nX-Reason: starting\r\nContent-Length: 0\r\n\r\n");
        });
        servers.push(server);
        bound.push(await bind(server, url));
      }
    } catch (error) {
      for (const server of servers) server.close();
      throw error;
    }
    listener.it = new PeerListener(servers, bound);
    return listener.it;
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#servers.map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve());
            server.closeAllConnections();
          }),
      ),
    );
  }
}

function bind(server: Server, url: string): Promise<string> {
  const { hostname, port, protocol } = new URL(url);
  if (protocol !== "http:") return Promise.reject(new PeerListenError(`${url}: peers talk http only so far`, { url }));
  const host = hostname.replace(/^\[|\]$/g, "");
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new PeerListenError(`cannot listen for peers on ${url}`, { url }, { cause })),
    );
    server.listen(port === "" ? 80 : Number(port), host, () => {
      resolve(`http://${hostname}:${(server.address() as AddressInfo).port}`);
    });
  });
}
