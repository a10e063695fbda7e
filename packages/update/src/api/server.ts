import { chmod, mkdir, unlink } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import { formatErrorChain, type Logger } from "@keelson/types";
import { describeAgent, describeEntry, type StatusView } from "../core/status.ts";
import type { Updater } from "../driver.ts";
import { UpdateConfigError } from "../errors.ts";
import type { AgentMetrics } from "../metrics.ts";
import { VERSION } from "../version.ts";

const CONNECTIONS_MAX = 32;
const COMMANDS = ["check", "now", "rollback"] as const;

/** What the API tells of the settings. */
export interface ApiFacts {
  readonly agent: StatusView["agent"];
  readonly server: StatusView["server"];
}

/**
 * The agent's API on its socket, which only root may open: `GET /v1/status`, `GET /v1/history`, `POST /v1/check`,
 * `POST /v1/now`, `POST /v1/rollback` (202, or 409 with the reason), `/metrics`, `/livez`.
 */
export class AgentApi implements AsyncDisposable {
  readonly #updater: Updater;
  readonly #facts: ApiFacts;
  readonly #metrics: AgentMetrics;
  readonly #logger: Logger;
  readonly #server: Server;
  #path: string | undefined;

  constructor(updater: Updater, facts: ApiFacts, metrics: AgentMetrics, logger: Logger) {
    this.#updater = updater;
    this.#facts = facts;
    this.#metrics = metrics;
    this.#logger = logger;
    this.#server = createServer((request, response) => this.#serve(request, response));
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.headersTimeout = 10_000;
    this.#server.requestTimeout = 10_000;
  }

  /** @throws UpdateConfigError when somebody listens there already */
  async listen(path: string): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    await clearSocket(path);
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (cause) =>
        reject(new UpdateConfigError(`cannot listen on ${path}`, { path }, { cause })),
      );
      this.#server.listen(path, resolve);
    });
    this.#path = path;
    await chmod(path, 0o600);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
    if (this.#path !== undefined) await unlink(this.#path).catch(() => {});
  }

  /** The whole status. */
  status(): StatusView {
    const { agent, facts } = this.#updater;
    const { pull, gate } = facts;
    return {
      ...this.#facts,
      ...describeAgent(agent),
      progress:
        pull === undefined
          ? null
          : {
              objectsDone: pull.objectsDone,
              objectsTotal: pull.objectsTotal,
              bytesReceived: pull.bytesReceived,
            },
      health:
        gate === undefined
          ? null
          : {
              green: gate.isGreen,
              checks: gate.results.map(({ name, outcome, isRequired, tookMs, detail }) => ({
                name,
                outcome,
                required: isRequired,
                tookMs,
                detail,
              })),
            },
    };
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    // No request has a body; what is sent all the same is not kept.
    request.resume();
    response.setHeader("Server", `updated/${VERSION}`);
    try {
      const { pathname } = new URL(request.url ?? "/", "http://updated");
      this.#route(request.method ?? "GET", pathname, response);
    } catch (error) {
      this.#logger.error("a request failed", { path: request.url, error: formatErrorChain(error) });
      if (!response.headersSent) send(response, 500, { kind: "internal", value: "see the journal of updated" });
    }
  }

  #route(method: string, path: string, response: ServerResponse): void {
    const command = COMMANDS.find((name) => path === `/v1/${name}`);
    const isKnown = command !== undefined || ["/v1/status", "/v1/history", "/metrics", "/livez"].includes(path);
    if (!isKnown) return send(response, 404, { kind: "not_found", value: `there is no ${path}` });
    if (method !== (command === undefined ? "GET" : "POST")) {
      response.setHeader("Allow", command === undefined ? "GET" : "POST");
      return send(response, 405, { kind: "method_not_allowed", value: `${method} is not for ${path}` });
    }
    if (command !== undefined) {
      const { refused } = this.#updater.command(command);
      if (refused === undefined) return send(response, 202, { accepted: command });
      return send(response, 409, { kind: "refused", value: refused });
    }
    if (path === "/v1/status") return send(response, 200, this.status());
    if (path === "/livez") return send(response, 200, { health: "true" });
    if (path === "/v1/history") {
      const { history } = this.#updater.agent.memory;
      return send(response, 200, { history: history.map((entry) => ({ ...entry, text: describeEntry(entry) })) });
    }
    response.writeHead(200, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" });
    response.end(this.#metrics.render(this.#updater));
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) });
  response.end(text);
}

/** Removes the socket of a program that is gone. */
async function clearSocket(path: string): Promise<void> {
  const isUsed = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
  if (isUsed) throw new UpdateConfigError(`cannot listen on ${path}: another updated listens there`, { path });
  await unlink(path).catch(() => {});
}
