import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path";

/** Answers a request in its own way and returns true, or false to let the file be served. */
export type Fault = (path: string, request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;

/** A plain file server on loopback, as any that serves a repository, with faults on demand. */
export interface StaticServer extends AsyncDisposable {
  /** Ends with a slash. */
  readonly url: string;
  readonly port: number;
  /** `GET path`s so far, without query. */
  readonly requests: string[];
  /** Headers of each request, in the same order. */
  readonly headers: IncomingMessage["headers"][];
  /** Connections made so far. */
  readonly connections: number;
  fault: Fault | undefined;
}

/** Serves the files below `dir`; single ranges too. */
export async function serveStatic(dir: string, fault?: Fault): Promise<StaticServer> {
  const requests: string[] = [];
  const headers: IncomingMessage["headers"][] = [];
  const shared = { fault, connections: 0 };
  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? "/").split("?")[0] ?? "/").slice(1);
    requests.push(path);
    headers.push(request.headers);
    void answer(dir, path, request, response, shared.fault).catch((error: unknown) => response.destroy(error as Error));
  });
  server.on("connection", () => shared.connections++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    port,
    requests,
    headers,
    get connections() {
      return shared.connections;
    },
    get fault() {
      return shared.fault;
    },
    set fault(value) {
      shared.fault = value;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answer(
  dir: string,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
  fault: Fault | undefined,
): Promise<void> {
  if (fault !== undefined && (await fault(path, request, response))) return;
  const file = join(dir, normalize(`/${path}`));
  const found = await stat(file).catch(() => undefined);
  if (found?.isFile() !== true) {
    response.writeHead(404, { "content-length": 0 }).end();
    return;
  }
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const isRange = request.headers.range !== undefined;
  response.writeHead(isRange ? 206 : 200, {
    "content-length": found.size - start,
    ...(isRange && { "content-range": `bytes ${start}-${found.size - 1}/${found.size}` }),
  });
  createReadStream(file, { start })
    .on("error", (error) => response.destroy(error))
    .pipe(response);
}
