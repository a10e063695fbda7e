import {
  LocksmithError,
  parseGoDuration,
  parseRebootWindow,
  parseStrategy,
  type RebootWindow,
  type Strategy,
  timeZone,
} from "@keelson/locksmith";
import { parseBool } from "../go-flags.ts";
import { readSettings, type Settings } from "../settings.ts";

/** Where `REBOOT_STRATEGY` and the like may stand; a later file wins, the environment over all. */
export const UPDATE_CONF = ["/usr/share/coreos/update.conf", "/etc/coreos/update.conf", "/etc/keelson/update.conf"];

/** What locksmithd needs to know, checked. */
export interface DaemonConfig {
  readonly etcd: Settings;
  readonly strategy: Strategy;
  /** With its settings as written, for the log. */
  readonly window: { readonly window: RebootWindow; readonly start: string; readonly length: string } | undefined;
  readonly jitterSpanMs: number;
  readonly lockTtlMs: number;
  /** How long people who are logged in are given. */
  readonly loginDelayMs: number;
  /** How long inhibitor locks may keep the machine from rebooting. */
  readonly inhibitMaxMs: number;
  readonly mayLoseQuorum: boolean;
  readonly coordinatorFile: string;
  /** Instead of /etc/machine-id. */
  readonly machineId: string | undefined;
  /** Answers of `systemctl is-system-running` that mean that the machine is well again. */
  readonly healthyStates: readonly string[];
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Puts the files and the environment together; names and meaning are upstream's where it has them.
 *
 * @throws {LocksmithError} ERR_CONFIG, ERR_WINDOW, ERR_STRATEGY; {FlagError}
 */
export function loadDaemonConfig(env: Env, readFile: (path: string) => string | undefined): DaemonConfig {
  const files = UPDATE_CONF.map((path) => parseConf(readFile(path) ?? ""));
  const all: Env = Object.assign({}, ...files, withoutEmpty(env));
  const text = (name: string, fallback = "") => all[`LOCKSMITHD_${name}`] ?? all[name] ?? fallback;
  const window = loadWindow(text("REBOOT_WINDOW_START"), text("REBOOT_WINDOW_LENGTH"), text("REBOOT_WINDOW_TIMEZONE"));
  const duration = (name: string, fallback: string) => durationOf(name, text(name, fallback));
  const strategy = parseStrategy(text("REBOOT_STRATEGY"));
  return {
    etcd: readSettings(new Map(), all, "LOCKSMITHD"),
    strategy,
    window,
    jitterSpanMs: duration("REBOOT_JITTER", defaultJitter(strategy, window?.window)),
    lockTtlMs: duration("LOCK_TTL", "15m"),
    loginDelayMs: duration("LOGIN_DELAY", "5m"),
    inhibitMaxMs: duration("INHIBIT_MAX", "10m"),
    mayLoseQuorum: parseBool("allow-quorum-loss", text("ALLOW_QUORUM_LOSS", "false")) === "true",
    machineId: all["LOCKSMITHD_MACHINE_ID"],
    healthyStates: text("HEALTHY_STATES", "running").split(","),
    coordinatorFile: text("COORDINATOR_FILE", "/run/update-engine/coordinator.conf"),
  };
}

/** `KEY=VALUE` lines as systemd's EnvironmentFile has them; what is none is passed over. */
export function parseConf(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const match = /^\s*([A-Za-z_]\w*)=(.*?)\s*$/.exec(line);
    if (match === null) continue;
    const [, name = "", value = ""] = match;
    found[name] = /^(".*"|'.*')$/.test(value) ? value.slice(1, -1) : value;
  }
  return withoutEmpty(found);
}

function withoutEmpty(env: Env): Record<string, string> {
  const set = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "",
  );
  return Object.fromEntries(set);
}

function loadWindow(start: string, length: string, zone: string): DaemonConfig["window"] {
  if ((start === "") !== (length === "")) {
    throw new LocksmithError(
      "ERR_CONFIG",
      "Either both or neither $REBOOT_WINDOW_START and $REBOOT_WINDOW_LENGTH must be set",
    );
  }
  if (start === "") return undefined;
  return { window: parseRebootWindow(start, length, timeZone(zone)), start, length };
}

/** Without a lock all machines would begin when the window opens; with it they queue. */
function defaultJitter(strategy: Strategy, window: RebootWindow | undefined): string {
  if (window === undefined || strategy === "etcd-lock") return "0s";
  return `${Math.min(15 * 60, Math.floor(window.lengthMs / 4_000))}s`;
}

const DURATION_MAX_MS = 7 * 86_400_000;

function durationOf(name: string, text: string): number {
  const ms = parseGoDuration(text);
  if (ms !== undefined && ms >= 0 && ms <= DURATION_MAX_MS) return ms;
  throw new LocksmithError("ERR_CONFIG", `LOCKSMITHD_${name} is not a duration such as 5m: ${JSON.stringify(text)}`);
}
