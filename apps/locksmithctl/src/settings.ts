import { type Flag, FlagError, type FlagValues, parseBool } from "./go-flags.ts";

export const DEFAULT_ENDPOINTS = ["http://127.0.0.1:2379", "http://127.0.0.1:4001"];
export const NEED_REBOOT_FILE = "/run/keelson/need-reboot";

/** Upstream's global flags and ours, in the order in which Go prints them. */
export const GLOBAL_FLAGS: readonly Flag[] = [
  { name: "debug", type: "bool", fallback: "false", usage: "Print out debug information to stderr." },
  {
    name: "endpoint",
    type: "list",
    fallback: DEFAULT_ENDPOINTS.join(","),
    usage: "etcd endpoint for locksmith. Specify multiple times to use multiple endpoints.",
  },
  { name: "etcd-cafile", type: "string", fallback: "", usage: "etcd CA file authentication" },
  { name: "etcd-certfile", type: "string", fallback: "", usage: "etcd cert file authentication" },
  { name: "etcd-keyfile", type: "string", fallback: "", usage: "etcd key file authentication" },
  { name: "etcd-password", type: "string", fallback: "", usage: "password for secure etcd communication" },
  { name: "etcd-username", type: "string", fallback: "", usage: "username for secure etcd communication" },
  { name: "group", type: "string", fallback: "", usage: "locksmith group" },
  {
    name: "need-reboot-file",
    type: "string",
    fallback: NEED_REBOOT_FILE,
    usage: "file that says that this machine wants to reboot",
  },
  { name: "version", type: "bool", fallback: "false", usage: "Print the version and exit." },
];

/** The global flags, checked. */
export interface Settings {
  readonly debug: boolean;
  readonly version: boolean;
  readonly endpoints: readonly string[];
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly username: string;
  readonly password: string;
  readonly group: string;
  readonly needRebootFile: string;
}

/** Flags before environment before defaults. `prefix`: `LOCKSMITHCTL` or `LOCKSMITHD`. @throws {FlagError} */
export function readSettings(
  values: FlagValues,
  env: Readonly<Record<string, string | undefined>>,
  prefix: "LOCKSMITHCTL" | "LOCKSMITHD",
): Settings {
  const given = (name: string): readonly string[] => {
    const variable = env[`${prefix}_${name.toUpperCase().replaceAll("-", "_")}`];
    return values.get(name) ?? (variable === undefined || variable === "" ? [] : [variable]);
  };
  const text = (name: string, fallback = "") => given(name).at(-1) ?? fallback;
  const bool = (name: string) => parseBool(name, text(name, "false")) === "true";
  const endpoints = given("endpoint").flatMap((list) => list.split(",").map((url) => url.trim()));
  if (endpoints.includes("")) throw new FlagError("an -endpoint is empty: give one like http://127.0.0.1:2379");
  return {
    debug: bool("debug"),
    version: bool("version"),
    endpoints: endpoints.length === 0 ? DEFAULT_ENDPOINTS : endpoints,
    caFile: text("etcd-cafile"),
    certFile: text("etcd-certfile"),
    keyFile: text("etcd-keyfile"),
    username: text("etcd-username"),
    password: text("etcd-password"),
    group: text("group"),
    needRebootFile: text("need-reboot-file", NEED_REBOOT_FILE),
  };
}
