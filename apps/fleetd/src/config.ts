import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import { ConfigError, type ManagerChoice } from "@keelson/fleet";
import { CoreError } from "@keelson/types";
import {
  flagOf,
  parseBool,
  parseConfFile,
  parseDuration,
  parseEnvironment,
  parseInteger,
  parseList,
  parseMetadata,
  type RawSettings,
  SETTINGS,
  type SettingName,
} from "./settings.ts";

const DEFAULT_CONFIG = "/etc/fleet/fleet.conf";
/** etcd grants no shorter lease with its usual election timeout. */
const TTL_MIN_MS = 2_000;

/** Everything that `fleetd` needs to know, checked. */
export interface Config {
  readonly verbosity: number;
  readonly name: string;
  readonly etcd: {
    readonly servers: readonly string[];
    readonly credentials?: { readonly user: string; readonly password: string };
    readonly tls?: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
    readonly keyPrefix: string;
    readonly requestTimeoutMs: number;
  };
  readonly machine: {
    readonly id: string;
    readonly publicIp: string;
    readonly metadata: Readonly<Record<string, string>>;
    readonly apiUrl?: string;
  };
  readonly ttlMs: number;
  readonly restartGraceMs: number;
  readonly drainOnStop: boolean;
  readonly manager: ManagerChoice;
  readonly memoryPath: string;
  readonly listen: readonly string[];
  readonly tokenLimit: number;
  readonly hasEngine: boolean;
  /** What was set and does nothing. */
  readonly warnings: readonly string[];
}

/** Puts flags, environment, file and defaults together, in this order. @throws ConfigError */
export function loadConfig(
  flags: RawSettings & { readonly config?: string },
  env: Readonly<Record<string, string | undefined>>,
): Config {
  const { config: givenPath, ...flagSettings } = flags;
  const path = givenPath ?? env["FLEET_CONFIG"];
  const file = parseConfFile(readConfig(path), path ?? DEFAULT_CONFIG);
  const given: RawSettings = { ...file, ...parseEnvironment(env), ...flagSettings };
  const text = (name: SettingName): string => {
    const setting = SETTINGS[name];
    return given[name] ?? ("fallback" in setting ? setting.fallback : "");
  };
  const what = (name: SettingName) => `--${flagOf(name)}`;
  const duration = (name: SettingName) => parseDuration(text(name), what(name));
  const ttlMs = duration("agent_ttl");
  if (ttlMs < TTL_MIN_MS) throw new ConfigError(`--agent-ttl must be at least ${TTL_MIN_MS / 1_000}s`);
  const advertised = text("advertise_url");
  return {
    verbosity: parseInteger(text("verbosity"), what("verbosity"), 0, 10),
    name: text("name"),
    etcd: etcdConfig(text, duration("etcd_request_timeout")),
    machine: {
      id: machineId(text("machine_id")),
      publicIp: text("public_ip") === "" ? defaultAddress() : text("public_ip"),
      metadata: parseMetadata(text("metadata"), what("metadata")),
      ...(advertised === "" ? {} : { apiUrl: httpUrl(advertised) }),
    },
    ttlMs,
    restartGraceMs: duration("restart_grace"),
    drainOnStop: parseBool(text("drain_on_stop"), what("drain_on_stop")),
    manager: managerChoice(text, env["XDG_RUNTIME_DIR"]),
    memoryPath: join(dirname(join(text("units_directory"), ".")), "agent.json"),
    listen: parseList(text("listen"), what("listen")),
    tokenLimit: parseInteger(text("token_limit"), what("token_limit"), 1, 65_535),
    hasEngine: !parseBool(text("disable_engine"), what("disable_engine")),
    warnings: (Object.keys(given) as SettingName[]).flatMap((name) => {
      const setting = SETTINGS[name];
      return "ignored" in setting ? [`${name} has no effect: ${setting.ignored}`] : [];
    }),
  };
}

function etcdConfig(text: (name: SettingName) => string, requestTimeoutMs: number): Config["etcd"] {
  const servers = parseList(text("etcd_servers"), "--etcd-servers");
  if (servers.length === 0) throw new ConfigError("--etcd-servers names no endpoint");
  const [user, password] = [text("etcd_username"), text("etcd_password")];
  const pem = (name: SettingName) => (text(name) === "" ? undefined : readFile(text(name), `--${flagOf(name)}`));
  const [ca, cert, key] = [pem("etcd_cafile"), pem("etcd_certfile"), pem("etcd_keyfile")];
  if ((cert === undefined) !== (key === undefined)) {
    throw new ConfigError("--etcd-certfile and --etcd-keyfile go together");
  }
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  return {
    servers,
    keyPrefix: text("etcd_key_prefix"),
    requestTimeoutMs,
    ...(user === "" ? {} : { credentials: { user, password } }),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
  };
}

function managerChoice(text: (name: SettingName) => string, runtimeDirectory: string | undefined): ManagerChoice {
  const kind = text("unit_manager");
  if (kind === "embedded") return { kind, socketPath: text("unit_manager_socket") };
  if (kind !== "systemd") throw new ConfigError(`--unit-manager is systemd or embedded, not ${JSON.stringify(kind)}`);
  const unitsDirectory = text("units_directory");
  if (!parseBool(text("systemd_user"), "--systemd-user")) return { kind, unitsDirectory };
  if (runtimeDirectory === undefined) throw new ConfigError("--systemd-user needs XDG_RUNTIME_DIR");
  const busAddress = `unix:path=${runtimeDirectory}/bus`;
  return { kind, unitsDirectory, busAddress, journalctl: ["journalctl", "--user"] };
}

function machineId(given: string): string {
  let id = given;
  if (id === "") {
    try {
      id = readFileSync("/etc/machine-id", "utf8").trim();
    } catch (cause) {
      throw new ConfigError("no machine id: give --machine-id, or make /etc/machine-id", {}, { cause });
    }
  }
  if (/^[A-Za-z0-9_-]{1,64}$/.test(id)) return id;
  throw new ConfigError(`machine id ${JSON.stringify(id)} is not 1 to 64 letters and digits`);
}

function httpUrl(text: string): string {
  const url = URL.parse(text);
  if (url?.protocol === "http:" && url.pathname === "/") return url.origin;
  throw new ConfigError(`--advertise-url is not http://host:port: ${JSON.stringify(text)}`);
}

function readConfig(path: string | undefined): string {
  if (path !== undefined) return readFile(path, "--config").toString("utf8");
  try {
    return readFileSync(DEFAULT_CONFIG, "utf8");
  } catch {
    return "";
  }
}

function readFile(path: string, what: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ConfigError(`${what}: cannot read ${path}`, {}, { cause });
  }
}

/** The IPv4 address of the interface that the default route goes through; empty when there is none. */
function defaultAddress(): string {
  let name: string | undefined;
  try {
    const routes = readFileSync("/proc/net/route", "utf8").split("\n").slice(1);
    name = routes.map((line) => line.split("\t")).find(([, destination]) => destination === "00000000")?.[0];
  } catch {
    // Not Linux.
  }
  const all = networkInterfaces();
  const found = name === undefined ? Object.values(all).flat() : all[name];
  return found?.find((address) => address?.family === "IPv4" && !address.internal)?.address ?? "";
}

/** Whether an error is one of the user's making, for which a trace says nothing. */
export function isUsageError(error: unknown): error is CoreError {
  return error instanceof CoreError && error.code === "ERR_CONFIG";
}
