import type { Logger } from "@keelson/types";
import { DEFAULT_CONFIG, type ServerConfig } from "./config.ts";
import { ConfigError } from "./core/errors.ts";

/** How to start a member in this process. Everything has a default; the defaults make a cluster of one on free ports. */
export interface EtcdOptions
  extends Partial<Omit<ServerConfig, "initialCluster" | "advertiseClientUrls" | "advertisePeerUrls">> {
  /** Where the member keeps its data. Needed unless `inMemory`. */
  readonly dataDir?: string;
  /** Keep nothing on disk. */
  readonly inMemory?: boolean;
  /** Default `http://127.0.0.1:0`: a free port. */
  readonly listenClientUrls?: readonly string[];
  /** Default: `listenClientUrls` with the real ports. */
  readonly advertiseClientUrls?: readonly string[];
  /** More addresses for `/metrics` and `/health` alone. */
  readonly listenMetricsUrls?: readonly string[];
  /** Default `http://127.0.0.1:0`. */
  readonly listenPeerUrls?: readonly string[];
  /** Default: the entry of `initialCluster` with this name, else `listenPeerUrls` with the real ports. */
  readonly advertisePeerUrls?: readonly string[];
  /** `name=url,name=url` as upstream's flag, or names with their peer URLs. Default: this member alone. */
  readonly initialCluster?: string | Readonly<Record<string, string | readonly string[]>>;
  readonly logger?: Logger;
}

const ELECTION_MS_MAX = 50_000;

/**
 * Checks the options and fills in what is known only now that the peer ports are bound.
 * @throws ConfigError naming the option
 */
export function resolveConfig(
  options: EtcdOptions,
  boundPeerUrls: readonly string[],
  clientUrls: readonly string[],
): ServerConfig {
  const name = options.name ?? DEFAULT_CONFIG.name;
  if (name === "") throw new ConfigError("the member's name must not be empty");
  const given = options.initialCluster === undefined ? undefined : parseInitialCluster(options.initialCluster);
  const peerUrls = options.advertisePeerUrls ?? given?.get(name) ?? boundPeerUrls;
  const config: ServerConfig = {
    ...DEFAULT_CONFIG,
    ...definedOf(options),
    name,
    advertiseClientUrls: clientUrls,
    advertisePeerUrls: peerUrls,
    initialCluster: given ?? new Map([[name, peerUrls]]),
  };
  checkTimes(config);
  checkOwnEntry(config);
  return config;
}

function definedOf(options: EtcdOptions): Partial<ServerConfig> {
  const own = Object.keys(DEFAULT_CONFIG) as (keyof ServerConfig)[];
  const values = options as Partial<Record<keyof ServerConfig, unknown>>;
  const chosen = own.filter((key) => values[key] !== undefined && key !== "initialCluster");
  return Object.fromEntries(chosen.map((key) => [key, values[key]])) as Partial<ServerConfig>;
}

function checkTimes({ heartbeatMs, electionMs }: ServerConfig): void {
  if (!(heartbeatMs > 0)) throw new ConfigError(`heartbeat-interval must be >0 (set to ${heartbeatMs}ms)`);
  if (!(electionMs > 0)) throw new ConfigError(`election-timeout must be >0 (set to ${electionMs}ms)`);
  if (5 * heartbeatMs > electionMs) {
    throw new ConfigError(
      `--election-timeout[${electionMs}ms] should be at least as 5 times as --heartbeat-interval[${heartbeatMs}ms]`,
    );
  }
  if (electionMs > ELECTION_MS_MAX) {
    throw new ConfigError(
      `--election-timeout[${electionMs}ms] is too long, and should be set less than ${ELECTION_MS_MAX}ms`,
    );
  }
}

function checkOwnEntry(config: ServerConfig): void {
  const { name, initialCluster, advertisePeerUrls } = config;
  const own = initialCluster.get(name);
  if (own === undefined) {
    throw new ConfigError(`couldn't find local name "${name}" in the initial cluster configuration`, {
      names: [...initialCluster.keys()],
    });
  }
  const [a, b] = [own.toSorted().join(","), advertisePeerUrls.toSorted().join(",")];
  if (a === b) return;
  throw new ConfigError(
    `--initial-cluster has ${name}=${a} but missing from --initial-advertise-peer-urls=${b}: they must be the same`,
  );
}

/** Parses `name=url,name=url`; a name may come several times. @throws ConfigError saying where it is wrong */
export function parseInitialCluster(value: NonNullable<EtcdOptions["initialCluster"]>): Map<string, string[]> {
  const out = new Map<string, string[]>();
  const add = (name: string, url: string) => {
    if (!/^https?:\/\/(\[[0-9a-fA-F:.]+\]|[^:/[\]@\s]+):\d{1,5}$/.test(url)) {
      throw new ConfigError(`initial-cluster: "${url}" of member "${name}" is not http://HOST:PORT`);
    }
    const urls = out.get(name) ?? [];
    out.set(name, [...urls, url]);
  };
  if (typeof value !== "string") {
    for (const [name, urls] of Object.entries(value)) for (const url of [urls].flat()) add(name, url);
  } else {
    for (const part of value.split(",")) {
      const cut = part.indexOf("=");
      if (cut <= 0) throw new ConfigError(`initial-cluster: "${part}" is not NAME=URL`);
      add(part.slice(0, cut).trim(), part.slice(cut + 1).trim());
    }
  }
  for (const urls of out.values()) urls.sort();
  checkDistinct(out);
  return out;
}

function checkDistinct(cluster: ReadonlyMap<string, readonly string[]>): void {
  const owner = new Map<string, string>();
  for (const [name, urls] of cluster) {
    for (const url of urls) {
      const other = owner.get(url);
      if (other !== undefined) {
        throw new ConfigError(
          other === name
            ? `initial-cluster: member "${name}" is there twice with ${url}`
            : `initial-cluster: members "${other}" and "${name}" have the same peer URL ${url}`,
        );
      }
      owner.set(url, name);
    }
  }
}
