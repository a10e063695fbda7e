import { parseGraph } from "../core/graph.ts";
import type { Graph } from "../core/graph-node.ts";
import { ServerAnswerError, ServerUnreachableError } from "../errors.ts";
import type { GraphClient, GraphQuery } from "../ports.ts";
import { ask, type HttpAnswer } from "./http-request.ts";

const GRAPH_BYTES_MAX = 4 * 1024 * 1024;
const TIMEOUT_MS = 30_000;

/** Asks `<base>/v1/graph`, as Zincati does. What has not changed is not sent again (If-None-Match). */
export class HttpGraphClient implements GraphClient {
  readonly #baseUrl: string;
  readonly #timeoutMs: number;
  #last: { readonly url: string; readonly etag: string; readonly graph: Graph } | undefined;

  constructor(baseUrl: string, options: { readonly timeoutMs?: number } = {}) {
    this.#baseUrl = baseUrl.replace(/\/+$/, "");
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  async fetch(query: GraphQuery, signal: AbortSignal): Promise<Graph> {
    if (this.#baseUrl === "") throw new ServerUnreachableError("no update server is set (cincinnati.base_url)");
    const url = new URL(`${this.#baseUrl}/v1/graph`);
    for (const [name, value] of Object.entries(parametersOf(query))) url.searchParams.set(name, value);
    const known = this.#last?.url === url.href ? this.#last : undefined;
    let answer: HttpAnswer;
    try {
      answer = await ask({
        to: url,
        headers: { Accept: "application/json", ...(known === undefined ? {} : { "If-None-Match": known.etag }) },
        timeoutMs: this.#timeoutMs,
        bytesMax: GRAPH_BYTES_MAX,
        signal,
      });
    } catch (cause) {
      throw new ServerUnreachableError(`GET ${url.origin}/v1/graph`, { url: url.origin }, { cause });
    }
    if (answer.status === 304 && known !== undefined) return known.graph;
    if (answer.status !== 200) throw refusal(answer);
    const graph = parse(answer.body);
    const etag = answer.headers.etag;
    this.#last = etag === undefined ? undefined : { url: url.href, etag, graph };
    return graph;
  }
}

function parametersOf(query: GraphQuery): Record<string, string> {
  const { rolloutWariness: wariness } = query;
  return {
    basearch: query.basearch,
    stream: query.stream,
    node_uuid: query.nodeUuid,
    os_version: query.osVersion,
    os_checksum: query.osChecksum,
    group: query.group,
    ...(wariness === undefined ? {} : { rollout_wariness: wariness.toFixed(6) }),
  };
}

function parse(body: string): Graph {
  try {
    return parseGraph(body);
  } catch (cause) {
    throw new ServerAnswerError("the update server's answer is no graph", "invalid_graph", { cause });
  }
}

/** `{kind, value}` as Cincinnati and FleetLock say it. */
function refusal(answer: HttpAnswer): ServerAnswerError {
  let kind = `http_${answer.status}`;
  let value = "";
  try {
    const body = JSON.parse(answer.body) as { kind?: unknown; value?: unknown } | null;
    if (typeof body?.kind === "string") kind = body.kind.slice(0, 100);
    if (typeof body?.value === "string") value = body.value.slice(0, 500);
  } catch {
    // A proxy's page says nothing that a machine could use.
  }
  const text = value === "" ? "" : `: ${value}`;
  return new ServerAnswerError(`the update server answered ${answer.status} (${kind})${text}`, kind);
}
