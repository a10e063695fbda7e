import { type TomlValue, UpdateConfigError } from "@keelson/update";

/** How a setting is read. Seconds and shares are numbers, in TOML without quotes. */
export type SettingType = "text" | "list" | "bool" | "seconds" | "share";

export interface Setting {
  readonly type: SettingType;
  readonly help: string;
  /** Absent: not set. */
  readonly fallback?: TomlValue;
}

/** All settings by their dotted TOML names; Zincati's names and defaults where it has them. */
export const SETTINGS = {
  "updates.enabled": { type: "bool", fallback: true, help: "look for updates at all" },
  "updates.strategy": {
    type: "text",
    fallback: "reboot",
    help: "reboot (or immediate), etcd-lock, best-effort, off",
  },
  "updates.allow_downgrade": { type: "bool", fallback: false, help: "take older versions, too, when they are offered" },
  "updates.repository_url": {
    type: "text",
    fallback: "",
    help: "OSTree repository; default: <cincinnati.base_url>/repo",
  },
  "updates.verify": {
    type: "text",
    fallback: "full",
    help: "how a new deployment is read again and compared before it may boot: full, or a sample on slow disks",
  },
  "updates.window.start": { type: "text", fallback: "", help: "reboot window: [Day ]HH:MM, such as Thu 23:00" },
  "updates.window.length": { type: "text", fallback: "", help: "its length, such as 1h30m" },
  "updates.window.time_zone": {
    type: "text",
    fallback: "UTC",
    help: "UTC, localtime, or a name such as Europe/Berlin",
  },
  "cincinnati.base_url": { type: "text", fallback: "", help: "the update server; without it there are no updates" },
  "agent.timing.steady_interval_secs": { type: "seconds", fallback: 300, help: "between two checks" },
  "agent.timing.retry_min_secs": { type: "seconds", fallback: 10, help: "first pause after a failure; doubles" },
  "agent.timing.retry_max_secs": { type: "seconds", fallback: 3_600, help: "longest pause after a failure" },
  "agent.timing.abandon_secs": {
    type: "seconds",
    fallback: 10_800,
    help: "a release that failed 12 times is left alone for so long",
  },
  "identity.group": { type: "text", fallback: "default", help: "told to the update server" },
  "identity.node_uuid": { type: "text", fallback: "", help: "told to the update server; default: from the machine id" },
  "identity.stream": { type: "text", fallback: "stable", help: "the stream of releases" },
  "identity.rollout_wariness": {
    type: "share",
    help: "0 takes updates first, 1 last; default: the server draws it per version",
  },
  "lock.group": { type: "text", fallback: "", help: "machines of one group share one reboot lock" },
  "lock.etcd_endpoints": { type: "list", fallback: ["http://127.0.0.1:2379"], help: "etcd with the reboot lock" },
  "lock.etcd_cafile": { type: "text", fallback: "", help: "authorities of etcd's certificate, PEM" },
  "lock.etcd_certfile": { type: "text", fallback: "", help: "client certificate for etcd, PEM" },
  "lock.etcd_keyfile": { type: "text", fallback: "", help: "client key for etcd, PEM" },
  "lock.ttl_secs": {
    type: "seconds",
    fallback: 900,
    help: "a machine that does not come back loses the lock after so long",
  },
  "lock.may_lose_quorum": { type: "bool", fallback: false, help: "let a member of a two-member etcd reboot" },
  "health.deadline_secs": { type: "seconds", fallback: 300, help: "a new version must be well after so long" },
  "health.preflight_deadline_secs": {
    type: "seconds",
    fallback: 60,
    help: "the old one must be well before it is left",
  },
  "health.builtin": { type: "list", fallback: ["systemd", "etcd", "fleetd"], help: "built-in checks" },
  "health.check_directories": {
    type: "list",
    fallback: ["/usr/lib/keelson/checks.d", "/etc/keelson/checks.d"],
    help: "executables: required.d (or the directory itself) must pass, wanted.d may fail",
  },
  "health.etcd_endpoint": { type: "text", fallback: "http://127.0.0.1:2379", help: "this machine's etcd member" },
  "health.fleet_socket": { type: "text", fallback: "/run/fleet.sock", help: "where fleetd listens" },
  "keys.directories": {
    type: "list",
    fallback: ["/usr/share/keelson/keys", "/etc/keelson/keys"],
    help: "public keys *.pub that commits must be signed with",
  },
  "paths.sysroot": { type: "text", fallback: "/run/keelson/sysroot", help: "the OSTree sysroot, writable" },
  "paths.esp": { type: "text", fallback: "/efi", help: "where the ESP is mounted" },
  "paths.bootlog": {
    type: "text",
    fallback: "/dev/disk/by-partlabel/keelson-bootlog",
    help: "the boot log's partition",
  },
  "paths.cmdline": { type: "text", fallback: "/proc/cmdline", help: "what the kernel was booted with" },
  "paths.state": { type: "text", fallback: "/var/lib/keelson/update/state.json", help: "what must not be forgotten" },
  "paths.socket": { type: "text", fallback: "/run/keelson/updated.sock", help: "where the API listens" },
  "log.level": { type: "text", fallback: "info", help: "debug, info, warn or error" },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;

/** Values by setting, checked. */
export type Settings = ReadonlyMap<SettingName, TomlValue>;

const SECONDS_MAX = 31_536_000;

/** `UPDATED_CINCINNATI_BASE_URL` for `cincinnati.base_url`. */
export function variableOf(name: SettingName): string {
  return `UPDATED_${name.replaceAll(".", "_").toUpperCase()}`;
}

/** Settings of the environment. @throws UpdateConfigError for UPDATED_ variables that are none */
export function parseEnvironment(env: Readonly<Record<string, string | undefined>>): Settings {
  const names = new Map((Object.keys(SETTINGS) as SettingName[]).map((name) => [variableOf(name), name]));
  const settings = new Map<SettingName, TomlValue>();
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith("UPDATED_") || text === undefined) continue;
    const name = names.get(variable);
    if (name === undefined) throw new UpdateConfigError(`unknown environment variable ${variable}`);
    settings.set(name, checkValue(name, fromText(SETTINGS[name].type, text), variable));
  }
  return settings;
}

/** Checks one value. @throws UpdateConfigError saying what is wanted */
export function checkValue(name: SettingName, value: TomlValue, where: string): TomlValue {
  const { type } = SETTINGS[name];
  const bad = (want: string) =>
    new UpdateConfigError(`${where}: ${name} is ${JSON.stringify(value)}, but ${want} is needed`, { name });
  if (type === "text" && typeof value !== "string") throw bad("a text");
  if (type === "bool" && typeof value !== "boolean") throw bad("true or false");
  if (type === "list" && !(Array.isArray(value) && value.every((item) => typeof item === "string"))) {
    throw bad("a list of texts");
  }
  if (type === "share" && !(typeof value === "number" && value >= 0 && value <= 1)) throw bad("a number from 0 to 1");
  if (type === "seconds" && !(typeof value === "number" && value >= 1 && value <= SECONDS_MAX)) {
    throw bad("a number of seconds of at least 1");
  }
  return value;
}

export function isSetting(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name);
}

/** What cannot be read stays a text, and is refused by {@link checkValue}. */
function fromText(type: SettingType, text: string): TomlValue {
  if (type === "text") return text;
  if (type === "list") return text.split(",").flatMap((item) => (item.trim() === "" ? [] : [item.trim()]));
  if (type === "bool") {
    if (/^(true|yes|1|on)$/i.test(text)) return true;
    return /^(false|no|0|off)$/i.test(text) ? false : text;
  }
  const number = Number(text);
  return text.trim() === "" || Number.isNaN(number) ? text : number;
}
