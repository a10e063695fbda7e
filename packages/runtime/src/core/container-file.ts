import { parseEnvironment, parseUnit, quoteWord, splitWords, type UnitNode, unfoldValue } from "@keelson/unit";
import { RequestError } from "../errors.ts";
import { parseRunArguments } from "./request.ts";
import { DEVICES, limitSettings, SCRIPTS, type UnitSetting } from "./units.ts";
import { parseCpu, parseFlag, parseInteger, parseMemory, parsePath, sanitizeName } from "./values.ts";

/** A `.container` file, understood. */
export interface ContainerFile {
  /** For `rkt prepare`. Specifiers such as `%i` are in it still. */
  readonly arguments: readonly string[];
  /** The one app's name. */
  readonly app: string;
  readonly hasOwnNetwork: boolean;
  /** What [Container] says that is systemd's to do. */
  readonly settings: readonly UnitSetting[];
  /** The other sections' lines, in their order: name of the section, and the text as it was. */
  readonly others: readonly { readonly section: string; readonly name: string; readonly raw: string }[];
}

/** Longest `.container` file, in characters. */
export const CONTAINER_FILE_LENGTH_MAX = 1024 * 1024;

/** Keys of [Container] whose value becomes one flag of an app, as it is. Names are Quadlet's: podman-systemd.unit(5). */
const APP_FLAGS: Readonly<Record<string, string>> = {
  User: "user",
  Group: "group",
  WorkingDir: "working-dir",
  Annotation: "annotation",
  Label: "annotation",
  Ulimit: "rlimit",
  StopSignal: "stop-signal",
  StopTimeout: "stop-timeout",
};

/** Keys that become one flag of the pod. */
const POD_FLAGS: Readonly<Record<string, string>> = {
  HostName: "hostname",
  DNS: "dns",
  DNSSearch: "dns-search",
  DNSOption: "dns-opt",
  Sysctl: "sysctl",
};

/** Settings of [Service] that are made from [Container], and so are nobody else's. */
const OURS: readonly string[] = [
  "ExecStart",
  "PrivateMounts",
  "PrivateNetwork",
  "NetworkNamespacePath",
  "RootDirectory",
  "RootImage",
  "User",
  "Group",
  "DynamicUser",
];

interface Parts {
  readonly pod: string[];
  readonly app: string[];
  readonly settings: UnitSetting[];
  image?: string;
  entrypoint?: string;
  args: readonly string[];
  hasOwnNetwork: boolean;
  volumes: number;
}

/**
 * Reads a `.container` file: a unit whose section [Container] says what runs, with Quadlet's keys, and whose other
 * sections go into the service as they are. A key that has no meaning here is an error, not a surprise later.
 *
 * @param name the file's name without `.container`, such as `web` or `web@`
 * @throws RequestError, UnitSyntaxError or UnitValueError, with what is wrong where
 */
export function parseContainerFile(name: string, text: string): ContainerFile {
  if (text.length > CONTAINER_FILE_LENGTH_MAX)
    throw new RequestError(`${name}.container is longer than ${CONTAINER_FILE_LENGTH_MAX} characters`);
  const options = parseUnit(text).nodes.filter((node) => node.type === "option");
  const parts: Parts = { pod: [], app: [], settings: [], args: [], hasOwnNetwork: true, volumes: 0 };
  for (const option of options) {
    if (option.section === "Container") readKey(parts, option, name);
    else if (option.section === "Service" && OURS.includes(option.name))
      throw new RequestError(`${name}.container:${option.line}: ${option.name}= of [Service] follows from [Container]`);
  }
  if (parts.image === undefined)
    throw new RequestError(`${name}.container: [Container] needs Image=, such as Image=registry.example/web:1`);
  const app = sanitizeName(name.replace(/@.*$/, ""));
  const args = [
    ...parts.pod,
    parts.image,
    `--name=${app}`,
    ...(parts.entrypoint === undefined ? [] : [`--exec=${parts.entrypoint}`]),
    ...parts.app,
    ...(parts.args.length === 0 ? [] : ["--", ...parts.args]),
  ];
  // Specifiers are not known yet; everything that does not hold any is checked now, where the file's author sees it.
  if (!args.some((word) => word.includes("%"))) parseRunArguments(args);
  return {
    arguments: args,
    app,
    hasOwnNetwork: parts.hasOwnNetwork,
    settings: parts.settings,
    others: options
      .filter(({ section }) => section !== "Container")
      .map(({ section, name: key, raw }) => ({ section, name: key, raw })),
  };
}

type OptionNode = Extract<UnitNode, { type: "option" }>;

function readKey(parts: Parts, option: OptionNode, file: string): void {
  const { name: key } = option;
  const value = unfoldValue(option.value);
  const where = `${file}.container:${option.line}: ${key}=`;
  const [appFlag, podFlag] = [APP_FLAGS[key], POD_FLAGS[key]];
  if (appFlag !== undefined) {
    parts.app.push(`--${appFlag}=${value}`);
    return;
  }
  if (podFlag !== undefined) {
    parts.pod.push(`--${podFlag}=${value}`);
    return;
  }
  switch (key) {
    case "Image":
      parts.image = value;
      return;
    case "Exec":
      parts.args = splitWords(value).map((word) => word.text);
      return;
    case "Entrypoint":
      parts.entrypoint = value;
      return;
    case "Environment":
      parts.app.push(...parseEnvironment(value).map(([name, text]) => `--environment=${name}=${text}`));
      return;
    case "EnvironmentFile":
      parts.pod.push(`--set-env-file=${parsePath(where, value)}`);
      return;
    case "PublishPort":
      parts.pod.push(`--port=${publishedPort(where, value)}`);
      return;
    case "Volume":
      addVolume(parts, where, value);
      return;
    case "Tmpfs":
      addEmpty(parts, parsePath(where, value.split(":")[0] ?? ""));
      return;
    case "Network":
      parts.pod.push(`--net=${value}`);
      parts.hasOwnNetwork = value !== "host" && value !== "none";
      return;
    case "AddHost":
      parts.pod.push(`--hosts-entry=${hostsEntry(where, value)}`);
      return;
    case "ReadOnly":
      if (parseFlag(where, value)) parts.app.push("--readonly-rootfs");
      return;
    case "NoNewPrivileges":
      parts.app.push(`--no-new-privileges=${parseFlag(where, value)}`);
      return;
    case "AddCapability":
      parts.app.push(
        `--caps-add=${splitWords(value)
          .map((word) => word.text)
          .join(",")}`,
      );
      return;
    case "DropCapability":
      parts.app.push(
        value === "all"
          ? "--caps-retain="
          : `--caps-remove=${splitWords(value)
              .map((word) => word.text)
              .join(",")}`,
      );
      return;
    case "GroupAdd":
      parts.app.push(`--supplementary-gids=${value}`);
      return;
    case "SeccompProfile":
      if (value !== "unconfined")
        throw new RequestError(`${where} only "unconfined" is known; without it the default filter holds`);
      parts.app.push("--seccomp=none");
      return;
    case "Pull":
      parts.pod.push(`--pull-policy=${pullPolicy(where, value)}`);
      return;
    default:
      readSetting(parts, key, value, where);
  }
}

/** Keys that are systemd's to do: limits, and how it says that it is ready. */
function readSetting(parts: Parts, key: string, value: string, where: string): void {
  switch (key) {
    case "Memory":
      parts.settings.push(...limitSettings({ memoryBytes: parseMemory(where, value) }));
      return;
    case "Cpus":
      parts.settings.push(...limitSettings({ cpuMillis: parseCpu(where, value) }));
      return;
    case "PidsLimit":
      parts.settings.push(...limitSettings({ tasksMax: parseInteger(where, value, 1, 4_194_304) }));
      return;
    case "Notify":
      if (parseFlag(where, value)) parts.settings.push(["Type", "notify"], ["NotifyAccess", "all"]);
      return;
    default:
      throw new RequestError(`${where} is not known in [Container]`);
  }
}

/** Quadlet's `[[IP:]HOSTPORT:]PORT[/tcp]` as rkt's `PORT-tcp:[IP:]HOSTPORT`. */
function publishedPort(where: string, value: string): string {
  const match = /^(?:(.+):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(value);
  if (match === null) throw new RequestError(`${where} ${JSON.stringify(value)} is not [IP:]HOSTPORT:PORT[/udp]`);
  const [, ip, hostPort, port, protocol = "tcp"] = match;
  return `${port}-${protocol}:${ip === undefined ? "" : `${ip}:`}${hostPort}`;
}

/** `/host/path:/path[:ro]`, `name:/path[:ro]` for a directory that we keep, or `/path` for an empty one. */
function addVolume(parts: Parts, where: string, value: string): void {
  const [source = "", target, options, ...more] = value.split(":");
  if (target === undefined) return addEmpty(parts, parsePath(where, source));
  const words = (options ?? "").split(",").filter((word) => word !== "");
  const unknown = words.find((word) => word !== "ro" && word !== "rw");
  if (more.length > 0 || unknown !== undefined)
    throw new RequestError(`${where} ${JSON.stringify(value)} is not SOURCE:PATH[:ro]`);
  const path = source.startsWith("/") ? source : `/var/lib/rkt/volumes/${source}`;
  if (!source.startsWith("/") && !/^[A-Za-z0-9][A-Za-z0-9_.@%-]{0,127}$/.test(source))
    throw new RequestError(`${where} ${JSON.stringify(source)} is neither an absolute path nor a name`);
  const name = `v${parts.volumes++}`;
  parts.pod.push(`--volume=${name},kind=host,source=${path}${words.includes("ro") ? ",readOnly=true" : ""}`);
  parts.app.push(`--mount=volume=${name},target=${parsePath(where, target)}`);
}

function addEmpty(parts: Parts, target: string): void {
  const name = `v${parts.volumes++}`;
  parts.pod.push(`--volume=${name},kind=empty`);
  parts.app.push(`--mount=volume=${name},target=${target}`);
}

function hostsEntry(where: string, value: string): string {
  const at = value.indexOf(":");
  if (at < 1) throw new RequestError(`${where} ${JSON.stringify(value)} is not NAME:IP`);
  return `${value.slice(at + 1)}=${value.slice(0, at)}`;
}

function pullPolicy(where: string, value: string): string {
  const policies: Readonly<Record<string, string>> = {
    never: "never",
    missing: "new",
    newer: "update",
    always: "update",
  };
  const policy = Object.hasOwn(policies, value) ? policies[value] : undefined;
  if (policy === undefined)
    throw new RequestError(`${where} ${JSON.stringify(value)} is none of ${Object.keys(policies).join(", ")}`);
  return policy;
}

/** How long a start may take: the image may have to be fetched. */
const START_TIMEOUT = "15min";
/** For rt-kill, which keeps StopTimeout=, and rt-stop together. */
const STOP_TIMEOUT = "5min";

/**
 * The service that a `.container` file stands for. It needs nothing but rkt on its machine, so it can be given to fleet;
 * specifiers are systemd's to replace. Its first start prepares the pod, later ones do without Node.
 */
export function renderContainerUnit(name: string, text: string): string {
  const file = parseContainerFile(name, text);
  const section = (wanted: string) =>
    file.others.filter((option) => option.section === wanted).map(({ raw }) => (raw.endsWith("\n") ? raw : `${raw}\n`));
  const has = (wanted: string, key: string) =>
    file.others.some((option) => option.section === wanted && option.name === key);
  const pod = "/var/lib/rkt/pods/named/%N";
  const line = ([key, value]: UnitSetting) => `${key}=${value}\n`;
  const service: UnitSetting[] = [
    ["Type", "exec"],
    ["PrivateMounts", "yes"],
    ...(file.hasOwnNetwork ? [["PrivateNetwork", "yes"] as const] : []),
    ...DEVICES,
    ["KillMode", "mixed"],
    ["SuccessExitStatus", "143"],
    ["TimeoutStartSec", START_TIMEOUT],
    ["TimeoutStopSec", STOP_TIMEOUT],
    ["SyslogIdentifier", "%N"],
    ...file.settings,
    ["ExecStartPre", [`${SCRIPTS}/rt-prepare`, "%N", ...file.arguments.map(execWord)].join(" ")],
    ...(file.hasOwnNetwork ? [["ExecStartPre", `${SCRIPTS}/rt-net add ${pod}`] as const] : []),
    ["ExecStart", `${SCRIPTS}/rt-exec ${pod} ${file.app}`],
    ["ExecStop", `-${SCRIPTS}/rt-kill ${pod} ${file.app}`],
    ["ExecStopPost", `-${SCRIPTS}/rt-stop ${pod} ${file.app}`],
  ];
  const others = [...new Set(file.others.map((option) => option.section))].filter(
    (each) => each !== "Unit" && each !== "Service",
  );
  return [
    `# Made by rkt from ${name}.container.\n`,
    "[Unit]\n",
    ...(has("Unit", "Description") ? [] : [`Description=container ${name.replaceAll("%", "%%")}\n`]),
    ...section("Unit"),
    "\n[Service]\n",
    ...service.map(line),
    ...section("Service"),
    ...others.flatMap((each) => [`\n[${each}]\n`, ...section(each)]),
  ].join("");
}

/** A word of an Exec line: quoted, with no variable that systemd would replace. */
function execWord(word: string): string {
  return quoteWord(word.replaceAll("$", "$$$$"));
}
