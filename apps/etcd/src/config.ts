import type { EtcdOptions } from "@keelson/etcd";
import type { LogLevel } from "@keelson/types";
import { FLAGS } from "./flags.ts";
import { type FlagValues, parseDurationMs, UsageError } from "./parse-flags.ts";

/** What the program does with its flags, apart from `Etcd`'s own options. */
export interface ProgramConfig {
  readonly options: EtcdOptions;
  readonly dataDir: string;
  readonly logLevel: LogLevel;
  readonly logToStdout: boolean;
  /** Flags that were given and have no effect. */
  readonly ignored: readonly string[];
}

/** @throws UsageError naming the flag */
export function toConfig(values: FlagValues): ProgramConfig {
  refuseMissing(values);
  const get = (name: string) => values.get(name) ?? FLAGS[name]?.fallback ?? "";
  const name = get("name");
  const clientUrls = listenUrls(get("listen-client-urls"));
  const peerUrls = listenUrls(get("listen-peer-urls"));
  if (values.has("listen-client-urls") && !values.has("advertise-client-urls")) {
    throw new UsageError("--advertise-client-urls is required when --listen-client-urls is set explicitly", 1);
  }
  const state = get("initial-cluster-state");
  if (state !== "new" && state !== "existing") {
    throw new UsageError(
      `invalid value "${state}" for flag -initial-cluster-state: unknown value (new or existing)`,
      2,
    );
  }
  const advertisePeerUrls = urls(get("initial-advertise-peer-urls"), "initial-advertise-peer-urls");
  const dataDir = get("data-dir") || `${name}.etcd`;
  const metricsUrls = get("listen-metrics-urls");
  const options: EtcdOptions = {
    name,
    dataDir,
    listenClientUrls: clientUrls,
    listenPeerUrls: peerUrls,
    ...advertiseClient(urls(get("advertise-client-urls"), "advertise-client-urls")),
    advertisePeerUrls,
    initialCluster: get("initial-cluster") || advertisePeerUrls.map((url) => `${name}=${url}`).join(","),
    initialClusterState: state,
    initialClusterToken: get("initial-cluster-token"),
    heartbeatMs: Number(get("heartbeat-interval")),
    electionMs: Number(get("election-timeout")),
    snapshotCount: positive("snapshot-count", get),
    snapshotCatchUpEntries: positive("snapshot-catchup-entries", get),
    maxTxnOps: positive("max-txn-ops", get),
    maxRequestBytes: positive("max-request-bytes", get),
    strictReconfigCheck: isTrue(get("strict-reconfig-check")),
    preVote: isTrue(get("pre-vote")),
    unsafeNoFsync: isTrue(get("unsafe-no-fsync")),
    watchProgressNotifyMs: Math.max(100, parseDurationMs(get("watch-progress-notify-interval")) ?? 600_000),
    ...(metricsUrls === "" ? {} : { listenMetricsUrls: listenUrls(metricsUrls) }),
  };
  const output = get("log-outputs");
  if (!["default", "stderr", "stdout"].includes(output)) {
    throw new UsageError(`--log-outputs ${output}: only default, stderr and stdout are supported`, 1);
  }
  const ignored = [...values.keys()].filter((flag) => FLAGS[flag]?.support === "accepted");
  return { options, dataDir, logLevel: logLevel(get("log-level")), logToStdout: output === "stdout", ignored };
}

/** A setting that would be silently absent (encryption, above all) is worse than an error. */
function refuseMissing(values: FlagValues): void {
  for (const [name, value] of values) {
    const spec = FLAGS[name];
    if (spec?.support === "missing" && value !== spec.fallback && value !== "") {
      throw new UsageError(`--${name} is not supported yet; leave it out`, 1);
    }
  }
}

/** Port 0 means any free one; then what is told is what was bound. */
function advertiseClient(list: readonly string[]): Pick<EtcdOptions, "advertiseClientUrls"> {
  return list.some((url) => url.endsWith(":0")) ? {} : { advertiseClientUrls: list };
}

function positive(name: string, get: (name: string) => string): number {
  const value = Number(get(name));
  if (!(value > 0)) throw new UsageError(`--${name} must be greater than 0 (set to ${value})`, 1);
  return value;
}

function isTrue(text: string): boolean {
  return /^(1|t|true)$/i.test(text);
}

function logLevel(text: string): LogLevel {
  if (text === "panic") return "fatal";
  if (["debug", "info", "warn", "error", "fatal"].includes(text)) return text as LogLevel;
  throw new UsageError(`--log-level: unrecognized level: "${text}"`, 1);
}

function urls(text: string, flag: string): string[] {
  return text.split(",").map((part) => {
    const url = part.trim();
    if (/^unixs?:\/\/.+$/.test(url) || /^https?:\/\/(\[[0-9a-fA-F:.]+\]|[^:/[\]@\s]+):\d{1,5}$/.test(url)) return url;
    throw new UsageError(`invalid value ${JSON.stringify(text)} for flag -${flag}: ${url} is not http://HOST:PORT`, 2);
  });
}

/** Where to listen must not depend on name resolution (upstream: checkBindURLs). */
function listenUrls(text: string): string[] {
  return urls(text, "listen-urls").map((url) => {
    if (url.startsWith("unix")) return url;
    if (url.startsWith("https:")) throw new UsageError(`${url}: https is not supported yet`, 1);
    const host = new URL(url).hostname;
    if (host === "localhost") return url.replace("localhost", "127.0.0.1");
    if (/^\d+\.\d+\.\d+\.\d+$/.test(host) || host.startsWith("[")) return url;
    throw new UsageError(`expected IP in URL for binding (${url})`, 1);
  });
}
