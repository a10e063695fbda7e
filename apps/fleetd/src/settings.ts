import { ConfigError } from "@keelson/fleet";

/** How the text of a setting is read. */
export type SettingType = "text" | "list" | "bool" | "integer" | "duration" | "metadata";

/** One setting: `--key-with-dashes`, `FLEET_KEY`, `key` in fleet.conf. */
export interface Setting {
  readonly type: SettingType;
  readonly help: string;
  /** In the form in which it is written. Absent: none. */
  readonly fallback?: string;
  /** fleet had it; here it does nothing, for the reason given. */
  readonly ignored?: string;
}

/** All settings. Names and defaults are fleet's where it has them (fleet.conf.sample, config/config.go). */
export const SETTINGS = {
  verbosity: { type: "integer", fallback: "0", help: "1 logs details" },
  name: { type: "text", fallback: "", help: "name of this machine in its logs" },
  etcd_servers: {
    type: "list",
    fallback: "http://127.0.0.1:2379",
    help: "endpoints of etcd, as a comma list or as JSON",
  },
  etcd_username: { type: "text", fallback: "", help: "etcd user" },
  etcd_password: { type: "text", fallback: "", help: "password of the etcd user" },
  etcd_keyfile: { type: "text", fallback: "", help: "client key for etcd, PEM" },
  etcd_certfile: { type: "text", fallback: "", help: "client certificate for etcd, PEM" },
  etcd_cafile: { type: "text", fallback: "", help: "authorities of etcd's certificate, PEM" },
  etcd_key_prefix: { type: "text", fallback: "/_coreos.com/fleet/", help: "where the registry lies in etcd" },
  etcd_request_timeout: { type: "duration", fallback: "5s", help: "longest wait for one answer of etcd" },
  machine_id: { type: "text", fallback: "", help: "id of this machine; default: /etc/machine-id" },
  public_ip: { type: "text", fallback: "", help: "address that others see; default: of the default route's interface" },
  metadata: { type: "metadata", fallback: "", help: "what units may ask for, k=v,k=v" },
  agent_ttl: {
    type: "duration",
    fallback: "4s",
    help: "after so long without a word this machine is taken to be dead; at least 2s",
  },
  restart_grace: {
    type: "duration",
    fallback: "30s",
    help: "after SIGTERM the units stay this machine's for so long",
  },
  drain_on_stop: { type: "bool", fallback: "false", help: "on SIGTERM stop all units, as fleet did" },
  unit_manager: { type: "text", fallback: "systemd", help: "systemd or embedded" },
  unit_manager_socket: {
    type: "text",
    fallback: "/run/fleet/unit-manager.sock",
    help: "where the embedded unit manager listens",
  },
  units_directory: {
    type: "text",
    fallback: "/run/fleet/units/",
    help: "unit files; what fleetd must remember lies beside it",
  },
  systemd_user: { type: "bool", fallback: "false", help: "use the calling user's systemd" },
  listen: {
    type: "list",
    fallback: "unix:///var/run/fleet.sock",
    help: "where the API listens: unix:///path, http://host:port; sockets that systemd passes are used as well",
  },
  advertise_url: {
    type: "text",
    fallback: "",
    help: "where other machines reach this API, for journals; default: the first http address of --listen",
  },
  token_limit: { type: "integer", fallback: "100", help: "items of one page of the API" },
  disable_engine: { type: "bool", fallback: "false", help: "this machine never schedules" },
  engine_reconcile_interval: { type: "text", help: "", ignored: "the engine acts on changes and polls nothing" },
  disable_watches: { type: "text", help: "", ignored: "there is nothing but watches" },
  enable_grpc: { type: "text", help: "", ignored: "etcd v3 carries everything" },
  verify_units: { type: "text", help: "", ignored: "signed units were given up by fleet itself" },
  authorized_keys_file: { type: "text", help: "", ignored: "signed units were given up by fleet itself" },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;

/** Texts by setting. */
export type RawSettings = Partial<Record<SettingName, string>>;

export function isSetting(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name);
}

export function flagOf(name: SettingName): string {
  return name.replaceAll("_", "-");
}

/** Settings of an INI-like file, `key = value`; `#` and `;` begin comments, a section header means nothing. @throws ConfigError */
export function parseConfFile(text: string, path: string): RawSettings {
  const raw: RawSettings = {};
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || /^[#;]/.test(trimmed) || /^\[.*\]$/.test(trimmed)) continue;
    const where = `${path}, line ${i + 1}`;
    const at = trimmed.indexOf("=");
    if (at === -1) throw new ConfigError(`${where}: expected key = value`);
    const key = trimmed.slice(0, at).trim();
    if (!isSetting(key)) throw new ConfigError(`${where}: unknown key ${JSON.stringify(key)}`);
    raw[key] = unquote(trimmed.slice(at + 1).trim());
  }
  return raw;
}

/** Settings of the environment, `FLEET_KEY`. @throws ConfigError for FLEET_ variables that are none */
export function parseEnvironment(env: Readonly<Record<string, string | undefined>>): RawSettings {
  const raw: RawSettings = {};
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith("FLEET_") || value === undefined || name === "FLEET_CONFIG") continue;
    const key = name.slice("FLEET_".length).toLowerCase();
    if (!isSetting(key)) throw new ConfigError(`unknown environment variable ${name}`);
    raw[key] = value;
  }
  return raw;
}

/** `["a","b"]` or `a,b`. */
export function parseList(text: string, what: string): string[] {
  if (text.trim().startsWith("[")) {
    try {
      const json: unknown = JSON.parse(text);
      if (Array.isArray(json) && json.every((item) => typeof item === "string")) return json;
    } catch {
      // Said below.
    }
    throw new ConfigError(`${what} is not a JSON list of texts: ${text}`);
  }
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/** `5s`, `500ms`, `2m`, or a number of seconds. In milliseconds. */
export function parseDuration(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim());
  if (match === null) throw new ConfigError(`${what} is not a duration such as 5s: ${JSON.stringify(text)}`);
  return Number(match[1]) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[(match[2] ?? "s") as "ms" | "s" | "m" | "h"];
}

export function parseBool(text: string, what: string): boolean {
  if (/^(true|yes|1|on|t)$/i.test(text)) return true;
  if (/^(false|no|0|off|f)$/i.test(text)) return false;
  throw new ConfigError(`${what} is neither true nor false: ${JSON.stringify(text)}`);
}

export function parseInteger(text: string, what: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new ConfigError(`${what} is not a whole number from ${min} to ${max}: ${JSON.stringify(text)}`);
}

/** `k=v,k=v`; keys as the API takes them; the last of a key wins. */
export function parseMetadata(text: string, what: string): Record<string, string> {
  const pairs = parseList(text, what).map((item): [string, string] => {
    const at = item.indexOf("=");
    const [key, value] = [item.slice(0, Math.max(at, 0)).trim(), item.slice(at + 1).trim()];
    if (!/^[A-Za-z0-9_.-]+$/.test(key) || value === "") {
      throw new ConfigError(`${what} is not k=v,k=v: ${JSON.stringify(item)}`);
    }
    return [key, value];
  });
  return Object.fromEntries(pairs);
}

function unquote(text: string): string {
  return /^".*"$/.test(text) || /^'.*'$/.test(text) ? text.slice(1, -1) : text;
}
