import { chmod, unlink } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { formatErrorChain } from "@keelson/types";
import { UnitManagerUnavailableError } from "@keelson/unit";
import { ApiError, ConfigError, ContentionError, StoreUnavailableError } from "../errors.ts";
import { VERSION } from "../version.ts";
import type { ApiContext } from "./context.ts";
import { sendError, sendJson } from "./http.ts";
import { route } from "./routes.ts";

/** What fleet says as long as a machine is not in the cluster. */
const NO_STORE = "fleet server unable to communicate with etcd";
const CONNECTIONS_MAX = 1_000;

/** fleet's HTTP API v1 with additions; see README.md. */
export class ApiServer implements AsyncDisposable {
  readonly #context: ApiContext;
  readonly #servers: Server[] = [];
  readonly #sockets: string[] = [];
  readonly #closing = new AbortController();
  /** Once in the cluster, reads are answered from memory even while the store is away. */
  #wasRegistered = false;

  constructor(context: ApiContext) {
    this.#context = context;
  }

  /**
   * Listens on `unix:///path` or `http://host:port`, or on a socket that systemd passed (`fd:3`), and returns the
   * address. @throws ConfigError
   */
  async listen(url: string): Promise<string> {
    const server = createServer((request, response) => void this.#serve(request, response));
    server.maxConnections = CONNECTIONS_MAX;
    const where = parseListenUrl(url);
    if ("path" in where) await clearSocket(where.path);
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) => reject(new ConfigError(`cannot listen on ${url}`, { url }, { cause })));
      server.listen(where, resolve);
    });
    this.#servers.push(server);
    if ("path" in where) {
      this.#sockets.push(where.path);
      await chmod(where.path, 0o660);
      return `unix://${where.path}`;
    }
    if ("fd" in where) return url;
    const { address, port, family } = server.address() as AddressInfo;
    return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    for (const server of this.#servers) {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    }
    for (const path of this.#sockets) await unlink(path).catch(() => {});
  }

  async #serve(raw: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.on("close", () => gone.abort()).on("error", () => gone.abort());
    response.setHeader("Server", `fleetd/${VERSION}`);
    try {
      const url = new URL(raw.url ?? "/", "http://fleet");
      const signal = AbortSignal.any([gone.signal, this.#closing.signal]);
      const request = { method: raw.method ?? "GET", query: url.searchParams, raw, response, signal };
      if (this.#serveOwn(url.pathname, response)) return;
      this.#checkAvailable(response);
      const path = /^\/(?:fleet\/v1|v1-alpha)(\/.*)?$/.exec(url.pathname);
      if (path !== null) await route(this.#context, request, (path[1] ?? "").replace(/\/$/, ""));
      else throw new ApiError(url.pathname === "/" ? 405 : 404, "");
    } catch (error) {
      this.#answerError(raw, response, error);
    }
  }

  /** Paths that are answered whatever the state of the cluster. */
  #serveOwn(path: string, response: ServerResponse): boolean {
    const problem = this.#context.problem();
    if (path === "/metrics") {
      response.writeHead(200, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" });
      response.end(this.#context.metrics.render());
    } else if (path === "/livez") sendJson(response, 200, { health: "true" });
    else if (path === "/health" || path === "/readyz") {
      const isHealthy = problem === undefined;
      sendJson(response, isHealthy ? 200 : 503, { health: String(isHealthy), reason: problem ?? "" });
    } else return false;
    return true;
  }

  #checkAvailable(response: ServerResponse): void {
    const { problem, registry } = this.#context;
    const isRegistered = problem() === undefined;
    this.#wasRegistered ||= isRegistered;
    if (!this.#wasRegistered || registry.revision === 0) throw new ApiError(503, NO_STORE);
    if (!isRegistered) response.setHeader("Warning", '110 fleetd "etcd cannot be reached; this may be out of date"');
  }

  #answerError(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    // The rest of a body that was refused is not read: the connection ends with the answer.
    if (!request.complete && !response.headersSent) response.setHeader("Connection", "close");
    if (error instanceof ApiError) return sendError(response, error.status, error.message);
    if (error instanceof StoreUnavailableError || error instanceof ContentionError) {
      this.#context.logger.warn("request failed", { path: request.url, error });
      return sendError(response, 503, error instanceof ContentionError ? error.message : NO_STORE);
    }
    if (error instanceof UnitManagerUnavailableError) return sendError(response, 503, error.message);
    this.#context.logger.error("request failed", { path: request.url, error: formatErrorChain(error) });
    sendError(response, 500, "");
  }
}

type Listen = { readonly path: string } | { readonly host: string; readonly port: number } | { readonly fd: number };

function parseListenUrl(text: string): Listen {
  const fd = /^fd:(\d+)$/.exec(text);
  if (fd !== null) return { fd: Number(fd[1]) };
  const bad = (why: string) => new ConfigError(`cannot listen on ${JSON.stringify(text)}: ${why}`, { url: text });
  const url = URL.parse(text);
  if (url === null) throw bad("expected unix:///path or http://host:port");
  if (url.protocol === "unix:") {
    if (url.host !== "" || url.pathname.length < 2) throw bad("a socket is written unix:///path");
    return { path: decodeURIComponent(url.pathname) };
  }
  if (url.protocol !== "http:") throw bad("only unix and http are supported");
  if (url.pathname !== "/") throw bad("an address has no path");
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port === "" ? 80 : Number(url.port) };
}

/** Removes the socket of a program that is gone. @throws ConfigError when somebody still listens there */
async function clearSocket(path: string): Promise<void> {
  const isUsed = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
  if (isUsed) throw new ConfigError(`cannot listen on unix://${path}: another program listens there`, { path });
  await unlink(path).catch(() => {});
}
