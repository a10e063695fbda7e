import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { FormatError } from "../core/errors.ts";
import { buildGraph, throttleGraph } from "../core/graph.ts";
import type { ReleasesDirectory } from "./releases.ts";

/** How a request for a graph was answered; `kind` is "ok" or the error's. */
export interface GraphAnswer {
  readonly status: number;
  readonly kind: string;
}

/**
 * `GET /v1/graph`, as fedora-coreos-cincinnati answers it: the stream's graph, throttled for the machine that asks. Refusals
 * are `{kind, value}`.
 */
export async function serveGraph(
  releases: ReleasesDirectory,
  query: URLSearchParams,
  nowS: number,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<GraphAnswer> {
  const refuse = (status: number, kind: string, value: string): GraphAnswer => {
    const body = JSON.stringify({ kind, value });
    response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
    response.end(body);
    return { status, kind };
  };
  const stream = query.get("stream") ?? "";
  const architecture = query.get("basearch") ?? "";
  if (stream === "" || architecture === "") {
    const missing = stream === "" ? "stream" : "basearch";
    return refuse(400, "missing_parameter", `the parameter ${missing} is missing`);
  }
  const wariness = parseWariness(query.get("rollout_wariness"));
  if (wariness === "wrong") return refuse(400, "invalid_parameter", "rollout_wariness is not a number from 0 to 1");
  let found: Awaited<ReturnType<ReleasesDirectory["stream"]>>;
  try {
    found = await releases.stream(stream);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return refuse(400, "invalid_parameter", error.message);
  }
  if (found === undefined) return refuse(404, "unknown_stream", `there is no stream ${stream}`);
  const nodeId = (query.get("node_uuid") ?? "").slice(0, 256);
  const graph = throttleGraph(buildGraph(found, architecture), { nowS, nodeId, wariness });
  const body = JSON.stringify(graph);
  const etag = `"${createHash("sha256").update(body).digest("hex").slice(0, 32)}"`;
  response.setHeader("ETag", etag);
  response.setHeader("Cache-Control", "no-cache");
  if (request.headers["if-none-match"] === etag) {
    response.writeHead(304).end();
    return { status: 304, kind: "ok" };
  }
  response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
  response.end(request.method === "HEAD" ? undefined : body);
  return { status: 200, kind: "ok" };
}

function parseWariness(text: string | null): number | undefined | "wrong" {
  if (text === null || text === "") return undefined;
  const value = Number(text);
  return Number.isFinite(value) && value >= 0 && value <= 1 ? value : "wrong";
}
