import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { INDEX_TYPE, MANIFEST_TYPE, type MadeImage } from "./make-image.ts";

/** One request as the registry saw it. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

/** A registry of tests: honest, unless `misbehave` answers a request itself. */
export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly host: string;
  readonly seen: Seen[];
  misbehave: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  readonly tags: Map<string, MadeImage>;
}

/** Starts it on a free port of 127.0.0.1. */
export async function startRegistry(images: Readonly<Record<string, MadeImage>> = {}): Promise<TestRegistry> {
  const tags = new Map(Object.entries(images));
  const seen: Seen[] = [];
  const registry: { misbehave: TestRegistry["misbehave"] } = { misbehave: undefined };
  const server = createServer((request, response) => {
    const { authorization, range } = request.headers;
    seen.push({ method: request.method ?? "", url: request.url ?? "", authorization, range });
    if (registry.misbehave?.(request, response) === true) return;
    answer(tags, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(registry, {
    host: `127.0.0.1:${port}`,
    seen,
    tags,
    [Symbol.asyncDispose]: () => stop(server),
  });
}

function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

function answer(tags: Map<string, MadeImage>, request: IncomingMessage, response: ServerResponse): void {
  const match = /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)$/.exec(request.url ?? "");
  const name = match?.[3] ?? "";
  const image = [...tags.values()].find((i) => i.blobs.has(name)) ?? tags.get(name);
  const bytes = image?.blobs.get(name) ?? (match?.[2] === "manifests" ? image?.manifestBytes : undefined);
  if (bytes === undefined) {
    response.writeHead(404, { "content-type": "application/json" }).end('{"errors":[{"code":"MANIFEST_UNKNOWN"}]}');
    return;
  }
  if (match?.[2] === "manifests") {
    const text = Buffer.from(bytes).toString("latin1");
    const isIndex = text.includes('"manifests":') && !text.includes('"config":');
    response
      .writeHead(200, { "content-type": isIndex ? INDEX_TYPE : MANIFEST_TYPE, "content-length": bytes.length })
      .end(bytes);
    return;
  }
  sendBlob(bytes, request.headers.range, response);
}

/** Sends a blob, or the part of it that was asked for. */
export function sendBlob(bytes: Uint8Array, range: string | undefined, response: ServerResponse): void {
  const start = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  const part = bytes.subarray(start);
  const headers = { "content-type": "application/octet-stream", "content-length": part.length };
  if (range === undefined) response.writeHead(200, headers).end(part);
  else
    response
      .writeHead(206, { ...headers, "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` })
      .end(part);
}

/** For a `misbehave` that always answers itself. */
export function responded(_response: ServerResponse): true {
  return true;
}
