import type { HttpHandler, HttpRequest, HttpResponse } from "@keelson/grpc";
import { ALARM_CORRUPT, ALARM_NOSPACE } from "../core/alarms.ts";
import { EtcdError } from "../core/errors.ts";
import type { EtcdServer } from "../server.ts";
import { CLUSTER_VERSION, SERVER_VERSION } from "../version.ts";
import type { ServerMetrics } from "./server-metrics.ts";

const CHECK_TIMEOUT_MS = 5_000;
const JSON_TYPE = { "content-type": "application/json" };
const TEXT_TYPE = { "content-type": "text/plain; charset=utf-8" };
const METRICS_TYPE = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };
const METHOD_NOT_ALLOWED: HttpResponse = {
  status: 405,
  headers: { ...TEXT_TYPE, allow: "GET" },
  body: "Method Not Allowed\n",
};

/** Plain HTTP beside gRPC (upstream: server/etcdserver/api/etcdhttp). */
export function httpHandler(server: EtcdServer, metrics: ServerMetrics, refresh: () => Promise<void>): HttpHandler {
  return async (req) => {
    if (req.path === "/health") return health(server, metrics, req);
    if (req.path === "/version") return req.method === "GET" ? version() : METHOD_NOT_ALLOWED;
    if (req.method !== "GET" && req.method !== "HEAD") return undefined;
    if (req.path === "/metrics") {
      await refresh();
      return { status: 200, headers: METRICS_TYPE, body: metrics.registry.render() };
    }
    return checks(server, req);
  };
}

function version(): HttpResponse {
  const body = `{"etcdserver":"${SERVER_VERSION}","etcdcluster":"${CLUSTER_VERSION}","storage":"${CLUSTER_VERSION}"}`;
  return { status: 200, headers: JSON_TYPE, body };
}

async function health(server: EtcdServer, metrics: ServerMetrics, req: HttpRequest): Promise<HttpResponse> {
  if (req.method !== "GET") return METHOD_NOT_ALLOWED;
  const reason = await unhealthy(server, req);
  (reason === "" ? metrics.healthSuccess : metrics.healthFailures).inc();
  const body = `{"health":"${reason === "" ? "true" : "false"}","reason":${JSON.stringify(reason)}}`;
  // JSON that goes as text, as upstream's does.
  return { status: reason === "" ? 200 : 503, headers: TEXT_TYPE, body };
}

async function unhealthy(server: EtcdServer, req: HttpRequest): Promise<string> {
  const excluded = new Set(req.query.getAll("exclude"));
  const { alarms } = server.member.state;
  if (alarms.has(ALARM_NOSPACE) && !excluded.has("NOSPACE")) return "ALARM NOSPACE";
  if (alarms.has(ALARM_CORRUPT) && !excluded.has("CORRUPT")) return "ALARM CORRUPT";
  const serializable = req.query.get("serializable") === "true";
  if (!serializable && server.member.leader === 0n) return "RAFT NO LEADER";
  const failure = await readFails(server, !serializable);
  return failure === undefined ? "" : `RANGE ERROR:${failure}`;
}

interface Check {
  readonly name: string;
  readonly fails: (server: EtcdServer) => Promise<string | undefined>;
}

const SERIALIZABLE: Check = { name: "serializable_read", fails: (server) => readFails(server, false) };
const CHECKS: Readonly<Record<string, readonly Check[]>> = {
  livez: [SERIALIZABLE],
  readyz: [
    {
      name: "data_corruption",
      fails: async (server) => (server.member.state.alarms.has(ALARM_CORRUPT) ? "alarm activated: CORRUPT" : undefined),
    },
    SERIALIZABLE,
    { name: "linearizable_read", fails: (server) => readFails(server, true) },
    {
      name: "non_learner",
      fails: async (server) =>
        server.member.state.members.get(server.member.id)?.isLearner === true ? "not supported for learner" : undefined,
    },
  ],
};

/** `/livez`, `/readyz`, and each of their checks below them. */
async function checks(server: EtcdServer, req: HttpRequest): Promise<HttpResponse | undefined> {
  const [, group = "", only] = req.path.split("/");
  const all = CHECKS[group];
  if (all === undefined || req.path.split("/").length > 3) return undefined;
  const excluded = new Set(req.query.getAll("exclude"));
  const chosen = all.filter((c) => (only === undefined ? !excluded.has(c.name) : c.name === only));
  if (only !== undefined && chosen.length === 0) return undefined;
  const results = await Promise.all(chosen.map(async (c) => ({ name: c.name, failure: await c.fails(server) })));
  const failed = results.some((r) => r.failure !== undefined);
  const lines = results.map(({ name, failure }) =>
    failure === undefined ? `[+]${name} ok` : `[-]${name} failed: ${failure}`,
  );
  const verbose = failed || req.query.has("verbose");
  const summary = failed ? `${group} check failed` : "ok";
  const body = verbose ? `${lines.join("\n")}\n${summary}\n` : `${summary}\n`;
  return { status: failed ? 503 : 200, headers: TEXT_TYPE, body };
}

/** Why a read is not possible now, or undefined when it is. */
async function readFails(server: EtcdServer, linearizable: boolean): Promise<string | undefined> {
  if (server.member.stopped) return "etcdserver: server stopped";
  if (!linearizable) return undefined;
  const timeout = Promise.withResolvers<never>();
  using _timer = server.clock.after(CHECK_TIMEOUT_MS, () => timeout.reject(new EtcdError("ERR_TIMEOUT")));
  try {
    await Promise.race([server.member.readIndex(), timeout.promise]);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
