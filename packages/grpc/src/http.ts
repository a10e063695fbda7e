import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { IncomingHttpHeaders as Http2Headers, ServerHttp2Stream } from "node:http2";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CoreError } from "@keelson/types";

/** A plain HTTP request, by HTTP/1.1 or HTTP/2 alike. */
export interface HttpRequest {
  readonly method: string;
  /** Decoded by nobody: as it came, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** `127.0.0.1:4711`, or `unix`. */
  readonly peer: string;
  readonly signal: AbortSignal;
  /** The whole body. @throws {BodyTooLargeError} beyond `maxBytes`. */
  body(maxBytes: number): Promise<Uint8Array>;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | AsyncIterable<string | Uint8Array>;
}

/** Answers a request, or undefined for 404. */
export type HttpHandler = (request: HttpRequest) => HttpResponse | undefined | Promise<HttpResponse | undefined>;

/** The request's body is larger than the handler takes; answered with 413. */
export class BodyTooLargeError extends CoreError<"ERR_BODY_TOO_LARGE"> {
  readonly code = "ERR_BODY_TOO_LARGE";
}

const NOT_FOUND: HttpResponse = {
  status: 404,
  headers: { "content-type": "text/plain; charset=utf-8" },
  body: "404 page not found\n",
};

/** Serves one HTTP/1.1 request. Never rejects. */
export async function serveHttp1(handler: HttpHandler, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const head = (r: HttpResponse) => void res.writeHead(r.status, r.headers);
  await serve(handler, { method: req.method ?? "GET", target: req.url ?? "/", headers: req.headers }, req, res, head);
}

/** Serves one HTTP/2 request that is not gRPC. Never rejects. */
export async function serveHttp2(
  handler: HttpHandler,
  stream: ServerHttp2Stream,
  headers: Http2Headers,
): Promise<void> {
  const head = (r: HttpResponse) => stream.respond({ ":status": r.status, ...r.headers });
  const line = { method: headers[":method"] ?? "GET", target: headers[":path"] ?? "/", headers };
  await serve(handler, line, stream, stream, head);
}

interface RequestLine {
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
}

async function serve(
  handler: HttpHandler,
  line: RequestLine,
  source: Readable & { socket?: unknown },
  sink: Writable,
  writeHead: (response: HttpResponse) => void,
): Promise<void> {
  const abort = new AbortController();
  sink.on("error", noop);
  source.on("error", noop);
  sink.on("close", () => abort.abort(new DOMException("the client has gone", "AbortError")));
  try {
    const response = (await handler(toRequest(line, source, abort.signal))) ?? NOT_FOUND;
    if (sink.destroyed) return;
    writeHead(response);
    const body = response.body ?? "";
    if (typeof body === "string" || body instanceof Uint8Array) sink.end(line.method === "HEAD" ? "" : body);
    else await pipeline(body, sink);
  } catch (error) {
    fail(error, sink, writeHead);
  }
}

function toRequest(line: RequestLine, source: Readable & { socket?: unknown }, signal: AbortSignal): HttpRequest {
  const cut = line.target.indexOf("?");
  const socket = source.socket as { remoteAddress?: string; remotePort?: number } | undefined;
  return {
    method: line.method,
    path: cut < 0 ? line.target : line.target.slice(0, cut),
    query: new URLSearchParams(cut < 0 ? "" : line.target.slice(cut + 1)),
    headers: line.headers,
    peer: socket?.remoteAddress === undefined ? "unix" : `${socket.remoteAddress}:${socket.remotePort}`,
    signal,
    body: (maxBytes) => readBody(source, maxBytes),
  };
}

async function readBody(source: Readable, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxBytes) throw new BodyTooLargeError(`request body is larger than ${maxBytes} bytes`, { maxBytes });
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function fail(error: unknown, sink: Writable, writeHead: (response: HttpResponse) => void): void {
  if (sink.destroyed) return;
  try {
    const status = error instanceof BodyTooLargeError ? 413 : 500;
    writeHead({ status, headers: { "content-type": "text/plain; charset=utf-8" } });
    sink.end(`${error instanceof Error ? error.message : String(error)}\n`);
  } catch {
    sink.destroy(); // the head was already sent
  }
}

function noop(): void {}
