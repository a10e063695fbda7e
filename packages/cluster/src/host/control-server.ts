import { once } from "node:events";
import { chmod, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { formatErrorChain } from "@keelson/types";
import { ClusterError } from "../errors.ts";
import type { ClusterHost } from "./host.ts";

/** What a control request may carry: a machine, groups of machines, a program. */
interface ControlRequest {
  readonly machine?: string;
  readonly service?: "etcd" | "fleetd" | "system";
  readonly groups?: readonly (readonly string[])[];
  readonly command?: string;
  readonly directory?: string;
}

/** No request names more than a few machines and a command. */
const BODY_BYTES_MAX = 1 << 20;

type Action = (host: ClusterHost, request: ControlRequest) => Promise<unknown>;

const need = (value: string | undefined, what: string): string => {
  if (value === undefined) throw new ClusterError(`the request names no ${what}`);
  return value;
};

/** One action a path; the machine's own methods do the work. */
const ACTIONS: Record<string, Action> = {
  "/cluster": async (host) => host.info(),
  "/kill": async (host, { machine }) => host.machine(need(machine, "machine")).kill(),
  "/restart": async (host, { machine }) => host.machine(need(machine, "machine")).restart(),
  "/pause": async (host, { machine }) => host.machine(need(machine, "machine")).pause(),
  "/resume": async (host, { machine }) => host.machine(need(machine, "machine")).resume(),
  "/partition": async (host, { groups }) => host.partition(groups ?? []),
  "/heal": async (host) => host.heal(),
  "/exec": async (host, { machine, command }) => host.machine(need(machine, "machine")).exec(need(command, "command")),
  "/logs": async (host, { machine, service }) => ({
    text: await host.machine(need(machine, "machine")).logs(service ?? "system"),
  }),
  "/collect": async (host, { directory }) => host.collect(need(directory, "directory")),
};

/** HTTP on a unix socket that only its owner may open. */
export class ControlServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #path: string;

  private constructor(path: string, host: ClusterHost, onDown: () => void) {
    this.#path = path;
    this.#server = createServer((request, response) => {
      void answer(host, onDown, request, response);
    });
  }

  static async listen(path: string, host: ClusterHost, onDown: () => void): Promise<ControlServer> {
    const control = new ControlServer(path, host, onDown);
    control.#server.listen(path);
    await once(control.#server, "listening");
    await chmod(path, 0o600);
    return control;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeIdleConnections();
    await closed;
    await rm(this.#path, { force: true });
  }
}

async function answer(
  host: ClusterHost,
  onDown: () => void,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const reply = (status: number, body: unknown) => {
    response.writeHead(status, { "content-type": "application/json", connection: "close" });
    response.end(JSON.stringify(body ?? {}));
  };
  try {
    if (request.url === "/down") {
      reply(200, {});
      response.once("close", onDown);
      return;
    }
    const action = ACTIONS[request.url ?? ""];
    if (action === undefined) return reply(404, { error: `there is no action ${request.url}` });
    const body = await readBody(request);
    return reply(200, await action(host, body === "" ? {} : (JSON.parse(body) as ControlRequest)));
  } catch (error) {
    return reply(400, { error: formatErrorChain(error) });
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) throw new ClusterError(`the request is longer than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
