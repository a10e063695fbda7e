import { parseSignal } from "@keelson/oci";
import { RequestError } from "../errors.ts";
import { DEFAULT_CAPABILITIES } from "./capabilities.ts";
import { addFlag, type FlagTable, flagsOf, type ParsedFlags, readToken, WORDS_MAX } from "./flags.ts";
import {
  hasControl,
  ID_MAX,
  isIp,
  type MountRequest,
  type NetworkRequest,
  type PortRequest,
  parseCapabilities,
  parseCpu,
  parseDuration,
  parseHostname,
  parseInteger,
  parseMemory,
  parseMount,
  parseName,
  parseNetwork,
  parsePath,
  parsePort,
  parseRlimit,
  parseSysctl,
  parseVariable,
  parseVolume,
  refuse,
  type VolumeRequest,
} from "./values.ts";

/** What a user wants to be done when an app ends. */
export interface RestartRequest {
  readonly policy: "no" | "on-failure" | "always";
  readonly delayMs: number;
}

/** One app as a command line asks for it; what is absent is the image's or a default. */
export interface AppRequest {
  readonly image: string;
  readonly name?: string;
  readonly exec?: string;
  readonly args: readonly string[];
  readonly workingDir?: string;
  readonly readOnlyRootfs: boolean;
  readonly mounts: readonly MountRequest[];
  readonly user?: string;
  readonly group?: string;
  readonly additionalGids: readonly number[];
  readonly environment: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly memoryBytes?: number;
  readonly cpuMillis?: number;
  readonly cpuShares?: number;
  readonly tasksMax?: number;
  readonly oomScoreAdjust?: number;
  readonly capabilities: readonly string[];
  readonly seccomp: "default" | "none";
  readonly isNewPrivilegesAllowed: boolean;
  readonly restart: RestartRequest;
  readonly stopSignal?: string;
  readonly stopTimeoutMs: number;
  readonly rlimits: readonly { readonly type: string; readonly soft: number; readonly hard: number }[];
}

/** How names are looked up in the pod. */
export interface DnsRequest {
  /** `host`: the machine's resolv.conf. `none`: the image's. `list`: these. */
  readonly mode: "host" | "none" | "list";
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
  readonly domain?: string;
}

/** The network as asked for. */
export type NetRequest =
  | { readonly kind: "host" }
  | { readonly kind: "none" }
  | { readonly kind: "cni"; readonly networks: readonly NetworkRequest[] };

/** A pod as a command line asks for it. */
export interface PodRequest {
  readonly name?: string;
  readonly apps: readonly AppRequest[];
  readonly net: NetRequest;
  readonly ports: readonly PortRequest[];
  readonly dns: DnsRequest;
  readonly hosts: readonly { readonly ip: string; readonly name: string }[];
  readonly hostname?: string;
  readonly volumes: readonly VolumeRequest[];
  readonly environment: readonly string[];
  readonly environmentFiles: readonly string[];
  readonly sysctls: Readonly<Record<string, string>>;
  readonly isEnvironmentInherited: boolean;
  readonly insecure: ReadonlySet<InsecureOption>;
  readonly pullPolicy: "never" | "new" | "update";
}

/** Most apps of a pod. */
export const APPS_MAX = 32;

const INSECURE = [
  "none",
  "image",
  "tls",
  "http",
  "pubkey",
  "capabilities",
  "paths",
  "seccomp",
  "ondisk",
  "all-fetch",
  "all-run",
  "all",
] as const;
/** A protection that may be given up. Source: rkt, `--insecure-options`. */
export type InsecureOption = (typeof INSECURE)[number];

const POD_FLAGS: FlagTable = {
  net: {
    kind: "value",
    hint: "NET",
    repeats: true,
    help: "host, none, or networks of net.d: NAME[:ARG=VALUE;…][,NAME…] (default: default)",
  },
  port: { kind: "value", hint: "PORT:[IP:]HOSTPORT", repeats: true, help: "publish a port, as in 80-tcp:8080" },
  dns: { kind: "value", hint: "IP|host|none", repeats: true, help: "name servers (default: host)" },
  "dns-search": { kind: "value", hint: "DOMAIN", repeats: true, help: "domains that names are completed with" },
  "dns-opt": { kind: "value", hint: "OPTION", repeats: true, help: "options of resolv.conf" },
  "dns-domain": { kind: "value", hint: "DOMAIN", help: "the local domain" },
  "hosts-entry": { kind: "value", hint: "IP=NAME", repeats: true, help: "a line of /etc/hosts" },
  hostname: { kind: "value", hint: "NAME", help: "host name (default: from the pod's uuid)" },
  volume: {
    kind: "value",
    hint: "NAME,kind=…",
    repeats: true,
    help: "data,kind=host,source=/srv/data or tmp,kind=empty",
  },
  "set-env": { kind: "value", hint: "NAME=VALUE", repeats: true, help: "a variable for every app" },
  "set-env-file": {
    kind: "value",
    hint: "FILE",
    repeats: true,
    help: "variables for every app, one NAME=VALUE a line",
  },
  "inherit-env": { kind: "switch", help: "give every app rkt's own environment" },
  sysctl: { kind: "value", hint: "KEY=VALUE", repeats: true, help: "a kernel setting of the pod's namespaces" },
  "pod-name": { kind: "value", hint: "NAME", help: "a name to call the pod by" },
  "pull-policy": {
    kind: "value",
    hint: "POLICY",
    help: "never, new (when missing) or update (ask the registry); default new",
  },
  "insecure-options": { kind: "value", hint: "LIST", repeats: true, help: INSECURE.join(",") },
};

const APP_FLAGS: FlagTable = {
  name: { kind: "value", hint: "NAME", help: "the app's name (default: from the image's)" },
  exec: { kind: "value", hint: "PATH", help: "run this instead of the image's entry point" },
  "working-dir": { kind: "value", hint: "PATH", help: "where it starts" },
  "readonly-rootfs": { kind: "switch", help: "nothing of the image can be written to" },
  mount: { kind: "value", hint: "volume=NAME,target=PATH", repeats: true, help: "where a volume is seen" },
  user: { kind: "value", hint: "USER", help: "user name or number" },
  group: { kind: "value", hint: "GROUP", help: "group name or number" },
  "supplementary-gids": { kind: "value", hint: "GID,…", help: "more groups" },
  environment: { kind: "value", hint: "NAME=VALUE", repeats: true, help: "a variable of this app" },
  annotation: { kind: "value", hint: "NAME=VALUE", repeats: true, help: "a note that is kept with the app" },
  memory: { kind: "value", hint: "BYTES", help: "most memory: 64Mi, 1G" },
  cpu: { kind: "value", hint: "CPUS", help: "most CPU time: 500m, 0.5, 2" },
  "cpu-shares": { kind: "value", hint: "2-262144", help: "its part when CPUs are short (1024 is usual)" },
  "tasks-max": { kind: "value", hint: "N", help: "most processes and threads" },
  "oom-score-adj": { kind: "value", hint: "N", help: "-1000 to 1000" },
  "caps-retain": { kind: "value", hint: "CAP,…", help: "just these capabilities" },
  "caps-remove": { kind: "value", hint: "CAP,…", help: "the default capabilities without these" },
  "caps-add": { kind: "value", hint: "CAP,…", help: "the default capabilities and these" },
  seccomp: { kind: "value", hint: "default|none", help: "the filter of system calls" },
  "no-new-privileges": { kind: "switch", help: "setuid programs have no effect (default: true)" },
  restart: { kind: "value", hint: "no|on-failure|always", help: "what happens when it ends (default: no)" },
  "restart-delay": { kind: "value", hint: "TIME", help: "before a restart (default: 1s)" },
  "stop-signal": { kind: "value", hint: "SIGNAL", help: "what asks it to end (default: the image's, or SIGTERM)" },
  "stop-timeout": { kind: "value", hint: "TIME", help: "between SIGTERM and SIGKILL (default: 10s)" },
  rlimit: { kind: "value", hint: "NAME=SOFT[:HARD]", repeats: true, help: "a limit of setrlimit(2)" },
};

/** Flags of a pod and of an app, for help and completion. */
export const RUN_FLAGS = { pod: POD_FLAGS, app: APP_FLAGS } as const;

interface RawApp {
  readonly image: string;
  readonly flags: Map<string, string[]>;
  args: readonly string[];
}

/**
 * Parses `[pod flags] IMAGE [app flags] [-- args [---]] IMAGE …` as rkt does: a flag of an app belongs to the image
 * before it. `extra` are flags that the command adds (such as `--quiet`); their values come back apart.
 *
 * @throws RequestError that says which word is wrong and what would be right; nothing has been done then
 */
export function parseRunArguments(
  argv: readonly string[],
  extra: FlagTable = {},
): { request: PodRequest; flags: ParsedFlags } {
  if (argv.length > WORDS_MAX) throw new RequestError(`more than ${WORDS_MAX} words`);
  for (const word of argv) if (word.includes("\0")) throw new RequestError("a word of the command line holds a NUL");
  const table: FlagTable = { ...POD_FLAGS, ...APP_FLAGS, ...extra };
  const pod = new Map<string, string[]>();
  const apps: RawApp[] = [];
  for (let at = 0; at < argv.length; ) {
    const { token, next } = readToken(table, argv, at);
    at = next;
    const app = apps.at(-1);
    if (token.type === "flag") {
      if (!Object.hasOwn(APP_FLAGS, token.name)) addFlag(table, pod, token.name, token.value);
      else if (app === undefined)
        throw new RequestError(`--${token.name} belongs to an app: it must stand after its image`, {
          flag: token.name,
        });
      else addFlag(table, app.flags, token.name, token.value);
    } else if (token.text === "--") {
      if (app === undefined) throw new RequestError("an image must stand before --");
      const end = argv.indexOf("---", at);
      app.args = argv.slice(at, end === -1 ? argv.length : end);
      at = end === -1 ? argv.length : end + 1;
    } else if (token.text === "---") throw new RequestError("--- ends an app's arguments, which begin with --");
    else {
      if (token.text === "" || hasControl(token.text)) refuse("image", token.text, "is not the name of an image");
      apps.push({ image: token.text, flags: new Map(), args: [] });
    }
  }
  if (apps.length === 0)
    throw new RequestError("no image is given, as in: rkt run --net=host docker://registry.example/web:1");
  if (apps.length > APPS_MAX) throw new RequestError(`a pod has ${APPS_MAX} apps at most`);
  const flags = flagsOf(pod, []);
  const insecure = parseInsecure(flags.all("insecure-options"));
  const request: PodRequest = { ...parsePodFlags(flags, insecure), apps: apps.map((app) => parseApp(app, insecure)) };
  checkRequest(request);
  return { request, flags };
}

function parseInsecure(values: readonly string[]): ReadonlySet<InsecureOption> {
  const isKnown = (word: string): word is InsecureOption => (INSECURE as readonly string[]).includes(word);
  const words = values.flatMap((value) => value.split(","));
  return new Set(
    words.map((word) =>
      isKnown(word) ? word : refuse("--insecure-options", word, `is none of ${INSECURE.join(", ")}`),
    ),
  );
}

function parsePodFlags(flags: ParsedFlags, insecure: ReadonlySet<InsecureOption>): Omit<PodRequest, "apps"> {
  const [name, hostname] = [flags.one("pod-name"), flags.one("hostname")];
  const pullPolicy = flags.one("pull-policy") ?? "new";
  if (pullPolicy !== "never" && pullPolicy !== "new" && pullPolicy !== "update")
    refuse("--pull-policy", pullPolicy, "is none of never, new, update");
  return {
    ...(name === undefined ? {} : { name: parsePodName("--pod-name", name) }),
    ...(hostname === undefined ? {} : { hostname: parseHostname("--hostname", hostname) }),
    net: parseNet(flags.all("net")),
    ports: flags.all("port").map((text) => parsePort("--port", text)),
    dns: parseDns(flags),
    hosts: flags.all("hosts-entry").map(parseHostsEntry),
    volumes: flags.all("volume").map((text) => parseVolume("--volume", text)),
    environment: flags.all("set-env").map((text) => parseVariable("--set-env", text)),
    environmentFiles: flags.all("set-env-file"),
    sysctls: Object.fromEntries(flags.all("sysctl").map((text) => parseSysctl("--sysctl", text))),
    isEnvironmentInherited: flags.is("inherit-env"),
    insecure,
    pullPolicy,
  };
}

/** Names of pods: those of units without the suffix, so that `web@1` is one. */
export function parsePodName(flag: string, text: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.@:\\-]{0,127}$/.test(text))
    refuse(flag, text, "is not a name: letters, digits and _ . @ : -");
  return text;
}

function parseNet(values: readonly string[]): NetRequest {
  const words = values.flatMap((value) => value.split(","));
  const [first] = words;
  if (first === undefined) return { kind: "cni", networks: [{ name: "default", args: [] }] };
  if (words.includes("host") || words.includes("none")) {
    if (words.length > 1) refuse("--net", words.join(","), "joins host or none with other networks");
    return { kind: first === "host" ? "host" : "none" };
  }
  const networks = words.map((word) => parseNetwork("--net", word));
  const twice = networks.find(({ name }, i) => networks.findIndex((other) => other.name === name) !== i);
  if (twice !== undefined) refuse("--net", twice.name, "is joined twice");
  if (networks.length > 8) refuse("--net", words.join(","), "is more than 8 networks");
  return { kind: "cni", networks };
}

function parseDns(flags: ParsedFlags): DnsRequest {
  const values = flags.all("dns").flatMap((value) => value.split(","));
  const servers = values.filter((value) => value !== "host" && value !== "none");
  if (servers.length < values.length && values.length > 1)
    refuse("--dns", values.join(","), "joins host or none with something else");
  for (const ip of servers) if (!isIp(ip)) refuse("--dns", ip, "is not an IP address, host or none");
  const domain = flags.one("dns-domain");
  const mode = servers.length > 0 ? "list" : values[0] === "none" ? "none" : "host";
  const word = (flag: string) => (text: string) =>
    /^[A-Za-z0-9.:_-]{1,255}$/.test(text) ? text : refuse(flag, text, "is not a word of resolv.conf");
  return {
    mode,
    servers,
    search: flags.all("dns-search").map(word("--dns-search")),
    options: flags.all("dns-opt").map(word("--dns-opt")),
    ...(domain === undefined ? {} : { domain: word("--dns-domain")(domain) }),
  };
}

function parseHostsEntry(text: string): { ip: string; name: string } {
  const at = text.indexOf("=");
  const ip = text.slice(0, Math.max(at, 0));
  if (!isIp(ip)) refuse("--hosts-entry", text, "is not IP=NAME");
  return { ip, name: parseHostname("--hosts-entry", text.slice(at + 1)) };
}

function parseApp({ image, flags: values, args }: RawApp, insecure: ReadonlySet<InsecureOption>): AppRequest {
  const flags = flagsOf(values, []);
  const optional = <K extends string, T>(
    key: K,
    flag: string,
    parse: (flag: string, text: string) => T,
  ): { [P in K]?: T } => {
    const text = flags.one(flag);
    return (text === undefined ? {} : { [key]: parse(`--${flag}`, text) }) as { [P in K]?: T };
  };
  const isAllRun = insecure.has("all") || insecure.has("all-run");
  const seccomp = flags.one("seccomp") ?? "default";
  if (seccomp !== "default" && seccomp !== "none") refuse("--seccomp", seccomp, "is neither default nor none");
  return {
    image,
    args,
    ...optional("name", "name", parseName),
    ...optional("exec", "exec", parsePlain),
    ...optional("workingDir", "working-dir", parseDirectory),
    ...optional("user", "user", parsePlain),
    ...optional("group", "group", parsePlain),
    ...optional("stopSignal", "stop-signal", parseSignalName),
    ...optional("memoryBytes", "memory", parseMemory),
    ...optional("cpuMillis", "cpu", parseCpu),
    ...optional("cpuShares", "cpu-shares", (flag, text) => parseInteger(flag, text, 2, 262_144)),
    ...optional("tasksMax", "tasks-max", (flag, text) => parseInteger(flag, text, 1, 4_194_304)),
    ...optional("oomScoreAdjust", "oom-score-adj", (flag, text) => parseInteger(flag, text, -1000, 1000)),
    readOnlyRootfs: flags.is("readonly-rootfs"),
    mounts: flags.all("mount").map((text) => parseMount("--mount", text)),
    additionalGids: (flags.one("supplementary-gids") ?? "")
      .split(",")
      .filter((text) => text !== "")
      .map((text) => parseInteger("--supplementary-gids", text, 0, ID_MAX)),
    environment: flags.all("environment").map((text) => parseVariable("--environment", text)),
    annotations: Object.fromEntries(flags.all("annotation").map(parseAnnotation)),
    capabilities: parseCapabilityFlags(flags, isAllRun || insecure.has("capabilities")),
    seccomp: isAllRun || insecure.has("seccomp") ? "none" : seccomp,
    isNewPrivilegesAllowed: flags.has("no-new-privileges") && !flags.is("no-new-privileges"),
    restart: parseRestart(flags),
    stopTimeoutMs: parseDuration("--stop-timeout", flags.one("stop-timeout") ?? "10s"),
    rlimits: flags.all("rlimit").map((text) => parseRlimit("--rlimit", text)),
  };
}

function parseRestart(flags: ParsedFlags): RestartRequest {
  const policy = flags.one("restart") ?? "no";
  if (policy !== "no" && policy !== "on-failure" && policy !== "always")
    refuse("--restart", policy, "is none of no, on-failure, always");
  return { policy, delayMs: parseDuration("--restart-delay", flags.one("restart-delay") ?? "1s") };
}

function parseCapabilityFlags(flags: ParsedFlags, isAll: boolean): readonly string[] {
  const given = ["caps-retain", "caps-remove", "caps-add"].filter((name) => flags.has(name));
  if (flags.has("caps-retain") && given.length > 1)
    throw new RequestError("--caps-retain says all there is: --caps-add and --caps-remove have no place beside it");
  const list = (name: string) =>
    flags.one(name) === undefined || flags.one(name) === ""
      ? []
      : parseCapabilities(`--${name}`, flags.one(name) ?? "");
  if (flags.has("caps-retain")) return [...new Set(list("caps-retain"))].toSorted();
  if (isAll) return ["all"];
  const removed = new Set(list("caps-remove"));
  return [...new Set([...DEFAULT_CAPABILITIES, ...list("caps-add")])].filter((name) => !removed.has(name)).toSorted();
}

function parseSignalName(flag: string, text: string): string {
  if (parseSignal(text) === undefined) refuse(flag, text, "is not a signal, such as SIGTERM or 15");
  return text;
}

function parsePlain(flag: string, text: string): string {
  if (text === "" || hasControl(text)) refuse(flag, text, "is empty or holds control characters");
  return text;
}

function parseDirectory(flag: string, text: string): string {
  return text === "/" ? text : parsePath(flag, text);
}

function parseAnnotation(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at < 1 || hasControl(text)) refuse("--annotation", text, "is not NAME=VALUE");
  return [text.slice(0, at), text.slice(at + 1)];
}

/** What the flags say together. */
function checkRequest(request: PodRequest): void {
  const names = request.volumes.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) refuse("--volume", twice, "is given twice");
  for (const app of request.apps) {
    const unknown = app.mounts.find(({ volume }) => !names.includes(volume));
    if (unknown !== undefined) refuse("--mount", unknown.volume, "is not the name of a --volume");
    const targets = app.mounts.map(({ target }) => target);
    const doubled = targets.find((target, i) => targets.indexOf(target) !== i);
    if (doubled !== undefined) refuse("--mount", doubled, "has two volumes");
  }
  if (request.net.kind !== "cni" && request.ports.length > 0)
    throw new RequestError(
      `--port: with --net=${request.net.kind} there is nothing to publish: ports are the machine's own, or there are none`,
    );
  const keys = request.ports.map((port) => `${port.hostIp ?? ""}/${port.hostPort}/${port.protocol}`);
  const doubled = request.ports.find((_, i) => keys.indexOf(keys[i] ?? "") !== i);
  if (doubled !== undefined) refuse("--port", String(doubled.hostPort), "is published twice");
  if (request.net.kind === "host" && Object.keys(request.sysctls).some((key) => key.startsWith("net.")))
    throw new RequestError("--sysctl: net.* with --net=host would change the machine's own settings");
}

/** Whether flags were used that are about fetching only. */
export function isPlainHttpAllowed(insecure: ReadonlySet<InsecureOption>): boolean {
  return insecure.has("http") || insecure.has("all-fetch") || insecure.has("all");
}
