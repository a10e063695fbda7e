import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Clock, formatErrorChain, type Logger } from "@keelson/types";
import { UpdateConfigError } from "../errors.ts";
import { VERSION } from "../version.ts";
import { serveGraph } from "./graph-endpoint.ts";
import { ReleasesDirectory } from "./releases.ts";
import { serveFile } from "./static-files.ts";

const CONNECTIONS_MAX = 1_024;
const KEEP_ALIVE_MS = 30_000;

/** How to serve updates. */
export interface UpdateServerOptions {
  /** Holds `releases/` and `repo/`, as `osctl publish` writes them. */
  readonly root: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** 0: any free one. */
  readonly port: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The update server: `/v1/graph`, the archive repository under `/repo/`, release metadata with its signature under
 * `/releases/`, `/health`, `/metrics`. It only reads; what is published is picked up without a restart.
 */
export class UpdateServer implements AsyncDisposable {
  readonly #options: UpdateServerOptions;
  readonly #releases: ReleasesDirectory;
  readonly #server: Server;
  readonly #counts = new Map<string, number>();
  #url = "";

  private constructor(options: UpdateServerOptions) {
    this.#options = options;
    this.#releases = new ReleasesDirectory(join(options.root, "releases"), options.logger);
    this.#server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
      void this.#serve(request, response);
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.headersTimeout = 10_000;
    this.#server.requestTimeout = 30_000;
  }

  /** @throws UpdateConfigError when the address cannot be listened on */
  static async start(options: UpdateServerOptions): Promise<UpdateServer> {
    const server = new UpdateServer(options);
    await server.#listen();
    return server;
  }

  /** `http://host:port`. */
  get url(): string {
    return this.#url;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #listen(): Promise<void> {
    const { host = "127.0.0.1", port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (cause) =>
        reject(new UpdateConfigError(`cannot listen on ${host}:${port}`, { host, port }, { cause })),
      );
      this.#server.listen(port, host, resolve);
    });
    const { address, port: bound, family } = this.#server.address() as AddressInfo;
    this.#url = `http://${family === "IPv6" ? `[${address}]` : address}:${bound}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // There is nothing that a body could be for.
    request.resume();
    response.setHeader("Server", `keelson-update-server/${VERSION}`);
    try {
      await this.#route(request, response);
    } catch (error) {
      // A client that goes away in the middle is no news.
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ERR_STREAM_PREMATURE_CLOSE" && code !== "ECONNRESET" && code !== "EPIPE") {
        this.#options.logger.error("a request failed", { path: request.url, error: formatErrorChain(error) });
      }
      if (response.headersSent) response.destroy();
      else response.writeHead(500, { "Content-Length": 0 }).end();
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = request.url ?? "/";
    const query = target.indexOf("?");
    const path = query === -1 ? target : target.slice(0, query);
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { Allow: "GET, HEAD", "Content-Length": 0 }).end();
      return;
    }
    if (path === "/v1/graph") {
      const parameters = new URLSearchParams(query === -1 ? "" : target.slice(query + 1));
      const nowS = Math.floor(this.#options.clock.wallMs() / 1_000);
      const { kind } = await serveGraph(this.#releases, parameters, nowS, request, response);
      this.#count("update_server_graph_requests_total", `{result=${JSON.stringify(kind)}}`);
      return;
    }
    for (const area of ["repo", "releases"]) {
      if (!path.startsWith(`/${area}/`)) continue;
      const { root } = this.#options;
      const served = await serveFile(join(root, area), path.slice(area.length + 2), request, response);
      this.#count("update_server_file_requests_total", `{area="${area}",status="${served.status}"}`);
      this.#count("update_server_file_bytes_total", `{area="${area}"}`, served.bytes);
      return;
    }
    this.#serveOwn(path, response);
  }

  #serveOwn(path: string, response: ServerResponse): void {
    if (path === "/health" || path === "/livez" || path === "/readyz") {
      response.writeHead(200, { "Content-Type": "application/json" }).end('{"health":"true"}');
    } else if (path === "/metrics") {
      response.writeHead(200, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" });
      response.end([...this.#counts].map(([series, value]) => `${series} ${value}\n`).join(""));
    } else {
      const body = JSON.stringify({ kind: "not_found", value: "see /v1/graph, /repo/, /releases/, /health, /metrics" });
      response.writeHead(404, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
      response.end(body);
    }
  }

  #count(name: string, labels: string, by = 1): void {
    const series = name + labels;
    this.#counts.set(series, (this.#counts.get(series) ?? 0) + by);
  }
}
