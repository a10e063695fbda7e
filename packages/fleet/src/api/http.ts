import type { IncomingMessage, ServerResponse } from "node:http";
import { ApiError } from "../errors.ts";

/** A request body may be so large: more than any unit file, and less than etcd takes. */
export const BODY_BYTES_MAX = 1 << 20;

/** What a handler gets. */
export interface ApiRequest {
  readonly method: string;
  readonly query: URLSearchParams;
  readonly raw: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborts when the client has gone or the server closes. */
  readonly signal: AbortSignal;
}

/** Answers with JSON. 204 has no body. */
export function sendJson(response: ServerResponse, status: number, body?: unknown): void {
  if (body === undefined) {
    response.writeHead(status).end();
    return;
  }
  const text = JSON.stringify(body);
  response
    .writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) })
    .end(text);
}

/** Answers as fleet does. */
export function sendError(response: ServerResponse, status: number, message: string): void {
  if (response.headersSent) response.destroy();
  else sendJson(response, status, { error: { code: status, message } });
}

/** Reads a JSON body. @throws ApiError 413 or 400 */
export async function readJson(request: IncomingMessage, complain: (problem: string) => string): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) throw new ApiError(413, `request body is larger than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
    if (text.trim() === "") throw new SyntaxError("EOF");
    return JSON.parse(text);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new ApiError(400, complain(problem), { cause });
  }
}

/** Source: fleet api/serialization.go. @throws ApiError 415 */
export function requireJson(request: IncomingMessage): void {
  const values = request.headersDistinct["content-type"] ?? [];
  if (values.length !== 1) throw new ApiError(415, `expected 1 Content-Type, got ${values.length}`);
  if (values[0]?.split(";", 1)[0]?.trim() !== "application/json") {
    throw new ApiError(415, "only acceptable Content-Type is application/json");
  }
}
