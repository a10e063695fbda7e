import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { LogLevel } from "@keelson/types";
import { type Policy, parseToml, type TomlValue, UpdateConfigError } from "@keelson/update";
import { checkValue, isSetting, parseEnvironment, SETTINGS, type SettingName, type Settings } from "./settings.ts";

/** Drop-ins `*.toml`; a later directory wins, within one the later name. A file hides those of its name in earlier ones. */
export const CONFIG_DIRECTORIES = ["/usr/lib/keelson/update.d", "/etc/keelson/update.d", "/run/keelson/update.d"];

const FILE_BYTES_MAX = 256 * 1024;
const STRATEGIES = ["reboot", "etcd-lock", "best-effort", "off"] as const;
const BUILTIN = ["systemd", "etcd", "fleetd"] as const;
const VERIFY = ["full", "sample"] as const;
const LEVELS = ["debug", "info", "warn", "error"] as const;

/** Everything that `updated` needs to know, checked. */
export interface Config {
  readonly policy: Policy;
  readonly strategy: (typeof STRATEGIES)[number];
  readonly window: { readonly start: string; readonly length: string; readonly timeZone: string } | undefined;
  readonly allowDowngrade: boolean;
  readonly verify: (typeof VERIFY)[number];
  readonly baseUrl: string;
  readonly repositoryUrl: string;
  readonly identity: {
    readonly basearch: string;
    readonly stream: string;
    readonly nodeUuid: string;
    readonly group: string;
    readonly rolloutWariness: number | undefined;
  };
  readonly lock: {
    readonly id: string;
    readonly machine: string;
    readonly group: string;
    readonly endpoints: readonly string[];
    readonly tls: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer } | undefined;
    readonly ttlMs: number;
    readonly mayLoseQuorum: boolean;
  };
  readonly health: {
    readonly builtin: readonly (typeof BUILTIN)[number][];
    readonly directories: readonly string[];
    readonly etcdEndpoint: string;
    readonly fleetSocket: string;
  };
  readonly keyDirectories: readonly string[];
  readonly paths: Readonly<Record<"sysroot" | "esp" | "bootlog" | "cmdline" | "state" | "socket", string>>;
  readonly logLevel: LogLevel;
  /** What was set in vain, and why nothing is looked for. */
  readonly warnings: readonly string[];
}

/** What a machine is, beside its settings. */
export interface MachineFacts {
  readonly machineId: string;
  readonly hostname: string;
}

/** Of the machine that this runs on. @throws UpdateConfigError without a machine id */
export function machineFacts(): MachineFacts {
  try {
    return { machineId: readFileSync("/etc/machine-id", "utf8").trim(), hostname: hostname() };
  } catch (cause) {
    throw new UpdateConfigError("cannot read /etc/machine-id", {}, { cause });
  }
}

/** The environment before drop-ins before defaults. @throws UpdateConfigError */
export function loadConfig(
  env: Readonly<Record<string, string | undefined>>,
  machine: MachineFacts,
  directories: readonly string[] = CONFIG_DIRECTORIES,
): Config {
  const given: Settings = new Map([...readDropIns(directories), ...parseEnvironment(env)]);
  const get = (name: SettingName): TomlValue | undefined => {
    const setting = SETTINGS[name];
    return given.get(name) ?? ("fallback" in setting ? setting.fallback : undefined);
  };
  const text = (name: SettingName) => get(name) as string;
  const list = (name: SettingName) => get(name) as readonly string[];
  const ms = (name: SettingName) => 1_000 * (get(name) as number);
  const baseUrl = httpUrl(text("cincinnati.base_url"), "cincinnati.base_url");
  const isWanted = get("updates.enabled") as boolean;
  const asked = text("updates.strategy");
  const strategy = oneOf(asked === "immediate" ? "reboot" : asked, "updates.strategy", STRATEGIES);
  const wariness = get("identity.rollout_wariness") as number | undefined;
  if (machine.machineId === "")
    throw new UpdateConfigError("/etc/machine-id is empty: the machine has no identity yet");
  return {
    strategy,
    baseUrl,
    repositoryUrl: httpUrl(text("updates.repository_url"), "updates.repository_url") || `${baseUrl}/repo`,
    window: windowOf(text("updates.window.start"), text("updates.window.length"), text("updates.window.time_zone")),
    allowDowngrade: get("updates.allow_downgrade") as boolean,
    verify: oneOf(text("updates.verify"), "updates.verify", VERIFY),
    policy: {
      isEnabled: isWanted && baseUrl !== "",
      machine: machine.hostname,
      steadyMs: ms("agent.timing.steady_interval_secs"),
      retryMinMs: ms("agent.timing.retry_min_secs"),
      retryMaxMs: ms("agent.timing.retry_max_secs"),
      failuresMax: 12,
      abandonMs: ms("agent.timing.abandon_secs"),
      gateDeadlineMs: ms("health.deadline_secs"),
      preflightDeadlineMs: ms("health.preflight_deadline_secs"),
      needsLock: strategy === "etcd-lock",
    },
    identity: {
      basearch: process.arch === "x64" ? "x86_64" : process.arch === "arm64" ? "aarch64" : process.arch,
      stream: text("identity.stream"),
      nodeUuid: text("identity.node_uuid") || nodeUuid(machine.machineId),
      group: text("identity.group"),
      rolloutWariness: wariness,
    },
    lock: {
      id: machine.machineId,
      machine: machine.hostname,
      group: text("lock.group"),
      endpoints: list("lock.etcd_endpoints"),
      tls: tlsOf(text("lock.etcd_cafile"), text("lock.etcd_certfile"), text("lock.etcd_keyfile")),
      ttlMs: ms("lock.ttl_secs"),
      mayLoseQuorum: get("lock.may_lose_quorum") as boolean,
    },
    health: {
      builtin: list("health.builtin").map((name) => oneOf(name, "health.builtin", BUILTIN)),
      directories: list("health.check_directories"),
      etcdEndpoint: text("health.etcd_endpoint"),
      fleetSocket: text("health.fleet_socket"),
    },
    keyDirectories: list("keys.directories"),
    paths: {
      sysroot: text("paths.sysroot"),
      esp: text("paths.esp"),
      bootlog: text("paths.bootlog"),
      cmdline: text("paths.cmdline"),
      state: text("paths.state"),
      socket: text("paths.socket"),
    },
    logLevel: oneOf(text("log.level"), "log.level", LEVELS),
    warnings:
      isWanted && baseUrl === "" ? ["no update server is set (cincinnati.base_url), so nothing is looked for"] : [],
  };
}

/** Reads all drop-ins. @throws UpdateConfigError naming file and line */
export function readDropIns(directories: readonly string[]): Settings {
  const files = new Map<string, string>();
  for (const directory of directories) {
    for (const name of namesIn(directory)) files.set(name, join(directory, name));
  }
  const settings = new Map<SettingName, TomlValue>();
  for (const [, path] of [...files].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    for (const [name, value] of parseFile(path)) {
      if (!isSetting(name)) throw new UpdateConfigError(`${path}: unknown setting ${name}; see updated --help`);
      settings.set(name, checkValue(name, value, path));
    }
  }
  return settings;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => name.endsWith(".toml"));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new UpdateConfigError(`cannot read ${directory}`, { directory }, { cause });
  }
}

function parseFile(path: string): Map<string, TomlValue> {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > FILE_BYTES_MAX) throw new Error(`it is larger than ${FILE_BYTES_MAX} bytes`);
    return parseToml(bytes.toString("utf8"), path);
  } catch (cause) {
    throw new UpdateConfigError(`cannot use ${path}`, { path }, { cause });
  }
}

/** The server learns an id that is always the same for a machine, and not the machine id itself. */
function nodeUuid(machineId: string): string {
  return createHash("sha256").update(`keelson-update ${machineId}`).digest("hex").slice(0, 32);
}

function httpUrl(value: string, name: SettingName): string {
  if (value === "") return "";
  const url = URL.parse(value);
  if (url !== null && (url.protocol === "http:" || url.protocol === "https:") && url.search === "" && url.hash === "") {
    return value.replace(/\/+$/, "");
  }
  throw new UpdateConfigError(`${name} is not an http or https address: ${JSON.stringify(value)}`, { name });
}

function windowOf(start: string, length: string, timeZone: string): Config["window"] {
  if (start === "" && length === "") return undefined;
  if (start !== "" && length !== "") return { start, length, timeZone };
  throw new UpdateConfigError("updates.window.start and updates.window.length go together");
}

function tlsOf(ca: string, cert: string, key: string): Config["lock"]["tls"] {
  if ((cert === "") !== (key === "")) {
    throw new UpdateConfigError("lock.etcd_certfile and lock.etcd_keyfile go together");
  }
  if (ca === "" && cert === "") return undefined;
  const read = (path: string, name: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new UpdateConfigError(`${name}: cannot read ${path}`, { path }, { cause });
    }
  };
  return {
    ...(ca === "" ? {} : { ca: read(ca, "lock.etcd_cafile") }),
    ...(cert === "" ? {} : { cert: read(cert, "lock.etcd_certfile"), key: read(key, "lock.etcd_keyfile") }),
  };
}

function oneOf<const T extends string>(value: string, name: SettingName, known: readonly T[]): T {
  const found = known.find((k) => k === value);
  if (found !== undefined) return found;
  throw new UpdateConfigError(`${name} is ${JSON.stringify(value)}, none of ${known.join(", ")}`, { name });
}
