import { type Command, Option } from "commander";
import { Exit, ExitError } from "./exit.ts";
import { parseDuration, quote } from "./go.ts";

/** The global flags, checked. */
export interface Globals {
  readonly endpoints: readonly string[];
  readonly writeOut: string;
  readonly hex: boolean;
  readonly debug: boolean;
  readonly dialTimeoutMs: number;
  readonly commandTimeoutMs: number;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly cert: string;
  readonly key: string;
  readonly cacert: string;
  readonly user: string;
  readonly password: string;
  readonly insecureTransport: boolean;
  readonly insecureSkipTlsVerify: boolean;
}

const isTrue = (text: string): boolean => !/^(false|f|0)$/i.test(text);

function flag(names: string, description: string, fallback: string | boolean): Option {
  const option = new Option(names, description).default(fallback);
  return option.env(`ETCDCTL_${option.name().toUpperCase().replaceAll("-", "_")}`);
}

/** Adds etcdctl's global flags; each has an environment variable `ETCDCTL_…`. */
export function addGlobalOptions(program: Command): void {
  const options = [
    flag("--endpoints <list>", "gRPC endpoints, with commas between them", "127.0.0.1:2379"),
    flag("-w, --write-out <format>", "output format (fields, json, protobuf, simple, table)", "simple"),
    flag("--hex", "print bytes as hex", false),
    flag("--debug", "log what the client does to standard error", false),
    flag("--dial-timeout <duration>", "for one attempt to connect", "2s"),
    flag("--command-timeout <duration>", "for a command that does not run on", "5s"),
    flag("--keepalive-time <duration>", "between pings of a connection", "2s"),
    flag("--keepalive-timeout <duration>", "without an answer to a ping the connection is lost", "6s"),
    flag("--cert <file>", "TLS certificate of this client", ""),
    flag("--key <file>", "TLS key of this client", ""),
    flag("--cacert <file>", "CA bundle that the servers' certificates must come from", ""),
    flag("--user <name[:password]>", "user name and perhaps password", ""),
    flag("--password <password>", "password, when --user has none", ""),
    flag("--insecure-transport [bool]", "no TLS for endpoints without a scheme", "true"),
    flag("--insecure-skip-tls-verify", "accept any server certificate (for tests only)", false),
  ];
  for (const option of options) program.addOption(option);
}

/** Reads the global flags. @throws {ExitError} */
export function readGlobals(program: Command, env: Readonly<Record<string, string | undefined>>): Globals {
  const values: Record<string, unknown> = program.opts();
  for (const option of program.options) {
    const variable = option.envVar;
    if (variable === undefined || env[variable] === undefined) continue;
    if (program.getOptionValueSource(option.attributeName()) !== "cli") continue;
    // As upstream: two sources that disagree are no guess of ours to make.
    throw new ExitError(
      Exit.ERROR,
      `conflicting environment variable ${quote(variable)} is shadowed by corresponding command-line flag ` +
        "(either unset environment variable or disable flag)",
    );
  }
  const text = (name: string) => {
    const value = values[name];
    return typeof value === "string" ? value : value === true ? "true" : "";
  };
  const bool = (name: string) => values[name] !== undefined && values[name] !== false && isTrue(text(name));
  const endpoints = text("endpoints")
    .split(",")
    .map((e) => e.trim())
    .filter((e) => e !== "");
  if (endpoints.length === 0) throw new ExitError(Exit.BAD_CONNECTION, "etcdclient: no available endpoints");
  return {
    endpoints,
    writeOut: text("writeOut"),
    hex: bool("hex"),
    debug: bool("debug"),
    dialTimeoutMs: durationOf("dial-timeout", text("dialTimeout")),
    commandTimeoutMs: durationOf("command-timeout", text("commandTimeout")),
    keepaliveTimeMs: durationOf("keepalive-time", text("keepaliveTime")),
    keepaliveTimeoutMs: durationOf("keepalive-timeout", text("keepaliveTimeout")),
    cert: text("cert"),
    key: text("key"),
    cacert: text("cacert"),
    user: text("user"),
    password: text("password"),
    insecureTransport: bool("insecureTransport"),
    insecureSkipTlsVerify: bool("insecureSkipTlsVerify"),
  };
}

function durationOf(name: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  const unit = /^\d+$/.test(text) ? "missing unit in duration" : "invalid duration";
  throw new ExitError(Exit.ERROR, `invalid argument ${quote(text)} for "--${name}" flag: time: ${unit} ${quote(text)}`);
}
