import { RequestError } from "../errors.ts";
import { capabilityName } from "./capabilities.ts";

/** Longest value of any flag, in characters. */
export const VALUE_LENGTH_MAX = 4096;

/** A port to publish. */
export interface PortRequest {
  readonly containerPort: number;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly hostPort: number;
  readonly hostIp?: string;
}

/** Storage that mounts refer to by its name. */
export type VolumeRequest =
  | {
      readonly name: string;
      readonly kind: "host";
      readonly source: string;
      readonly readOnly: boolean;
      readonly recursive: boolean;
    }
  | {
      readonly name: string;
      readonly kind: "empty";
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      readonly readOnly: boolean;
    };

/** Where a volume is seen in an app. */
export interface MountRequest {
  readonly volume: string;
  readonly target: string;
  readonly readOnly?: boolean;
}

/** A network to join. */
export interface NetworkRequest {
  readonly name: string;
  /** `KEY=VALUE` pairs for the plugins' CNI_ARGS. */
  readonly args: readonly string[];
}

/** Refuses what a flag was given: says which flag, what, and what would do. */
export function refuse(flag: string, value: string, want: string): never {
  const shown = value.length > 100 ? `${value.slice(0, 100)}…` : value;
  throw new RequestError(`${flag}: ${JSON.stringify(shown)} ${want}`, { flag });
}

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Names of apps, volumes and networks: as DNS labels, for they become parts of unit names and paths. */
export function parseName(flag: string, text: string): string {
  if (!NAME.test(text)) refuse(flag, text, "is not a name: 1 to 63 of a-z, 0-9 and -, not at its ends");
  return text;
}

/** Turns any text into a name, as rkt did with image names. */
export function sanitizeName(text: string): string {
  const name = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, "-")
    .slice(0, 63)
    .replace(/^-+/, "")
    .replace(/-+$/, "");
  return name === "" ? "app" : name;
}

/** A host name: dot-separated labels, 64 characters at most (Linux's limit). */
export function parseHostname(flag: string, text: string): string {
  const labels = text.split(".");
  if (text.length > 64 || !labels.every((label) => /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(label)))
    refuse(flag, text, "is not a host name: labels of letters, digits and -, 64 characters at most");
  return text;
}

const SUFFIXES: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  // As rkt's users wrote it; systemd's K, M and G are powers of two, Kubernetes' are not.
  K: 2 ** 10,
};

/** Bytes of memory as Kubernetes writes quantities: `64Mi`, `1G`, `536870912`. */
export function parseMemory(flag: string, text: string): number {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)(k|K|M|G|T|Ki|Mi|Gi|Ti)?$/.exec(text);
  const bytes = match === null ? 0 : Math.floor(Number(match[1]) * (SUFFIXES[match[2] ?? ""] ?? 0));
  if (!Number.isSafeInteger(bytes) || bytes < MEMORY_BYTES_MIN)
    refuse(flag, text, "is not an amount of memory of 512Ki or more, such as 64Mi or 1G");
  return bytes;
}

const MEMORY_BYTES_MIN = 512 * 1024;
const CPU_MILLIS_MAX = 1_000_000;

/** Thousandths of a CPU: `500m`, `0.5`, `2`. */
export function parseCpu(flag: string, text: string): number {
  const match = /^(?:(\d{1,7})m|(\d{1,4}(?:\.\d{1,3})?))$/.exec(text);
  const millis = match === null ? 0 : match[1] === undefined ? Math.round(Number(match[2]) * 1000) : Number(match[1]);
  if (millis < 1 || millis > CPU_MILLIS_MAX) refuse(flag, text, "is not a number of CPUs, such as 500m, 0.5 or 2");
  return millis;
}

/** A whole number within bounds. */
export function parseInteger(flag: string, text: string, min: number, max: number): number {
  const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) refuse(flag, text, `is not a whole number from ${min} to ${max}`);
  return value;
}

/** `true` or `false`; a flag without a value is true. */
export function parseFlag(flag: string, text: string): boolean {
  if (text === "true" || text === "1" || text === "yes") return true;
  if (text === "false" || text === "0" || text === "no") return false;
  return refuse(flag, text, "is neither true nor false");
}

/** Seconds: `10`, `1.5s`, `5m`, `2h`. Returned in milliseconds. */
export function parseDuration(flag: string, text: string): number {
  const units: Readonly<Record<string, number>> = {
    ms: 1,
    "": 1000,
    s: 1000,
    m: 60_000,
    min: 60_000,
    h: 3_600_000,
    d: 86_400_000,
  };
  let rest = text;
  let total = 0;
  do {
    const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|min|m|h|d)?/.exec(rest);
    if (match === null) refuse(flag, text, "is not a duration, such as 10s, 1m30s or 24h");
    total += Number(match[1]) * (units[match[2] ?? ""] ?? 0);
    rest = rest.slice(match[0].length);
  } while (rest !== "");
  if (total > 10 * 365 * 86_400_000) refuse(flag, text, "is longer than ten years");
  return Math.round(total);
}

/** An absolute path without `..`, doubled slashes or control characters, not the root. */
export function parsePath(flag: string, text: string): string {
  const parts = text.split("/");
  if (
    !text.startsWith("/") ||
    parts.includes("..") ||
    parts.includes(".") ||
    hasControl(text) ||
    text.length > VALUE_LENGTH_MAX
  )
    refuse(flag, text, "is not an absolute path without . and ..");
  const clean = `/${parts.filter((part) => part !== "").join("/")}`;
  if (clean === "/") refuse(flag, text, "is the root directory itself");
  return clean;
}

/** Whether text holds a character that no name, path or variable of ours may hold. */
export function hasControl(text: string): boolean {
  return /\p{Cc}/u.test(text);
}

/** `NAME=VALUE`, with the name as execve(2) and sh want it. Values may hold anything but NUL. */
export function parseVariable(flag: string, text: string): string {
  const at = text.indexOf("=");
  if (at < 1 || !/^[A-Za-z_][A-Za-z0-9_.-]*$/.test(text.slice(0, at)) || text.includes("\0"))
    refuse(flag, text, "is not NAME=VALUE");
  return text;
}

const PORT_MAX = 65_535;

/**
 * `NAME:[HOSTIP:]HOSTPORT` as rkt has it; NAME is the container's port as `80-tcp`, `53-udp` or `80`. IPv6 addresses
 * in brackets.
 */
export function parsePort(flag: string, text: string): PortRequest {
  const match = /^(\d{1,5})(?:-(tcp|udp|sctp))?:(?:(\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\]):)?(\d{1,5})$/.exec(
    text,
  );
  if (match === null)
    refuse(flag, text, "is not PORT[-tcp|-udp]:[HOSTIP:]HOSTPORT, such as 80-tcp:8080 or 80:127.0.0.1:8080");
  const containerPort = Number(match[1]);
  const hostPort = Number(match[4]);
  if (containerPort < 1 || containerPort > PORT_MAX || hostPort < 1 || hostPort > PORT_MAX)
    refuse(flag, text, `has a port outside of 1 to ${PORT_MAX}`);
  const hostIp = match[3]?.replace(/^\[(.*)\]$/, "$1");
  if (hostIp !== undefined && !isIp(hostIp)) refuse(flag, text, "has an address that is none");
  const protocol = (match[2] ?? "tcp") as PortRequest["protocol"];
  return { containerPort, protocol, hostPort, ...(hostIp === undefined ? {} : { hostIp }) };
}

/** Whether text is an IPv4 or IPv6 address (by shape; IPv6 without zone). */
export function isIp(text: string): boolean {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return text.split(".").every((part) => Number(part) <= 255);
  if (!/^[0-9A-Fa-f:.]{2,45}$/.test(text) || !text.includes(":")) return false;
  const halves = text.split("::");
  const groups = (half: string) => (half === "" ? [] : half.split(":"));
  const all = halves.flatMap(groups);
  if (halves.length > 2 || !all.every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))) return false;
  return halves.length === 2 ? all.length < 8 : all.length === 8;
}

/** `NAME,kind=host,source=/path[,readOnly=][,recursive=]` or `NAME,kind=empty[,mode=][,uid=][,gid=]`, as rkt has it. */
export function parseVolume(flag: string, text: string): VolumeRequest {
  const [name = "", ...pairs] = text.split(",");
  const options = parsePairs(flag, text, pairs, ["kind", "source", "readOnly", "recursive", "mode", "uid", "gid"]);
  parseName(flag, name);
  const readOnly = parseFlag(flag, options.get("readOnly") ?? "false");
  const kind = options.get("kind") ?? "";
  switch (kind) {
    case "host": {
      const source = options.get("source");
      if (source === undefined) refuse(flag, text, "needs source=/an/absolute/path");
      const unfit = ["mode", "uid", "gid"].find((key) => options.has(key));
      if (unfit !== undefined) refuse(flag, text, `has ${unfit}=, which is for kind=empty`);
      return {
        name,
        kind: "host",
        source: parsePath(flag, source),
        readOnly,
        recursive: parseFlag(flag, options.get("recursive") ?? "true"),
      };
    }
    case "empty": {
      const mode = options.get("mode") ?? "0755";
      if (!/^[0-7]{3,4}$/.test(mode)) refuse(flag, text, "has a mode that is not three or four octal digits");
      const unfit = ["source", "recursive"].find((key) => options.has(key));
      if (unfit !== undefined) refuse(flag, text, `has ${unfit}=, which is for kind=host`);
      const id = (key: string) => parseInteger(flag, options.get(key) ?? "0", 0, ID_MAX);
      return { name, kind: "empty", mode: Number.parseInt(mode, 8), uid: id("uid"), gid: id("gid"), readOnly };
    }
    default:
      return refuse(flag, text, "needs kind=host or kind=empty, as in data,kind=host,source=/srv/data");
  }
}

/** Largest user or group id: 2^32-1 means "none". */
export const ID_MAX = 4_294_967_294;

/** `volume=NAME,target=/path[,readOnly=true]`. */
export function parseMount(flag: string, text: string): MountRequest {
  const options = parsePairs(flag, text, text.split(","), ["volume", "target", "readOnly"]);
  const [volume, target, readOnly] = [options.get("volume"), options.get("target"), options.get("readOnly")];
  if (volume === undefined || target === undefined) refuse(flag, text, "is not volume=NAME,target=/path");
  return {
    volume: parseName(flag, volume),
    target: parsePath(flag, target),
    ...(readOnly === undefined ? {} : { readOnly: parseFlag(flag, readOnly) }),
  };
}

function parsePairs(
  flag: string,
  text: string,
  pairs: readonly string[],
  known: readonly string[],
): Map<string, string> {
  const options = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    const key = pair.slice(0, Math.max(at, 0));
    if (!known.includes(key)) refuse(flag, text, `has ${JSON.stringify(pair)}, which is none of ${known.join("=, ")}=`);
    if (options.has(key)) refuse(flag, text, `says ${key}= twice`);
    options.set(key, pair.slice(at + 1));
  }
  return options;
}

/** `name[:KEY=VALUE[;KEY=VALUE]]` of `--net`. */
export function parseNetwork(flag: string, text: string): NetworkRequest {
  const at = text.indexOf(":");
  const name = at === -1 ? text : text.slice(0, at);
  const args = at === -1 ? [] : text.slice(at + 1).split(";");
  for (const arg of args) {
    if (!/^[A-Za-z][A-Za-z0-9_]{0,62}=[A-Za-z0-9_.:/,-]{1,255}$/.test(arg))
      refuse(flag, text, "has arguments that are not KEY=VALUE[;KEY=VALUE]");
  }
  return { name: parseName(flag, name), args };
}

/** A list of capabilities, with or without `CAP_`. */
export function parseCapabilities(flag: string, text: string): string[] {
  return text
    .split(",")
    .map(
      (name) => capabilityName(name.trim()) ?? refuse(flag, name, "is not a capability of Linux, such as NET_ADMIN"),
    );
}

/** `NAME=SOFT[:HARD]` of `--rlimit`, such as `nofile=1024:4096`. */
export function parseRlimit(flag: string, text: string): { type: string; soft: number; hard: number } {
  const match = /^([a-z]{2,12})=(\d{1,15})(?::(\d{1,15}))?$/.exec(text);
  if (match === null || !RLIMITS.includes(match[1] ?? ""))
    refuse(flag, text, `is not NAME=SOFT[:HARD] with a name of ${RLIMITS.join(", ")}`);
  const soft = Number(match[2]);
  const hard = Number(match[3] ?? match[2]);
  if (soft > hard) refuse(flag, text, "has a soft limit above the hard one");
  return { type: `RLIMIT_${(match[1] ?? "").toUpperCase()}`, soft, hard };
}

const RLIMITS: readonly string[] = [
  "as",
  "core",
  "cpu",
  "data",
  "fsize",
  "memlock",
  "msgqueue",
  "nice",
  "nofile",
  "nproc",
  "rtprio",
  "sigpending",
  "stack",
];

/** `KEY=VALUE` of a sysctl that belongs to a namespace: `net.*` (not with the host's network), IPC and message queues. */
export function parseSysctl(flag: string, text: string): readonly [string, string] {
  const at = text.indexOf("=");
  const key = text.slice(0, Math.max(at, 0));
  const isNamespaced =
    /^net\.[a-z0-9_.-]+$/i.test(key) || /^fs\.mqueue\.[a-z_]+$/.test(key) || IPC_SYSCTLS.includes(key);
  if (!isNamespaced || hasControl(text))
    refuse(
      flag,
      text,
      "is not KEY=VALUE with a key of a namespace: net.*, fs.mqueue.*, kernel.shm*, kernel.msg*, kernel.sem",
    );
  return [key, text.slice(at + 1)];
}

const IPC_SYSCTLS: readonly string[] = [
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
];
