import { CoreError } from "@keelson/types";
import { FLAGS, SWALLOWED } from "./flags.ts";

/** The command line is wrong. `exitCode` is what upstream exits with. */
export class UsageError extends CoreError<"ERR_USAGE"> {
  readonly code = "ERR_USAGE";
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message, { exitCode });
    this.exitCode = exitCode;
  }
}

/** Values of the flags that were given, by name, as text. */
export type FlagValues = ReadonlyMap<string, string>;

/**
 * Parses a command line as Go's flag package does: one dash or two, `=` or a space before the value, none for a bool.
 * @throws UsageError
 */
export function parseFlags(args: readonly string[]): { values: FlagValues; help: boolean } {
  const values = new Map<string, string>();
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    if (arg === "--") {
      if (i + 1 < args.length) throw notAFlag(args[i + 1] as string);
      break;
    }
    const match = /^--?([^=-][^=]*)(?:=(.*))?$/s.exec(arg);
    if (match === null)
      throw arg.startsWith("-") && arg !== "-" ? new UsageError(`bad flag syntax: ${arg}`, 2) : notAFlag(arg);
    const [, name = "", inline] = match;
    if (name === "h" || name === "help") return { values, help: true };
    const spec = FLAGS[name];
    if (spec === undefined && !SWALLOWED.has(name)) throw new UsageError(`flag provided but not defined: -${name}`, 2);
    const value = inline ?? (spec?.kind === "bool" ? "true" : args[++i]);
    if (value === undefined) throw new UsageError(`flag needs an argument: -${name}`, 2);
    if (spec === undefined) continue;
    checkValue(name, value);
    values.set(name, value);
  }
  return { values, help: false };
}

function notAFlag(arg: string): UsageError {
  return new UsageError(`error verifying flags, "${arg}" is not a valid flag. See 'etcd --help'.`, 1);
}

/** @throws UsageError with Go's text when the value does not fit the flag */
export function checkValue(name: string, value: string): void {
  const kind = FLAGS[name]?.kind;
  const fits =
    kind === "int"
      ? /^-?\d{1,15}$/.test(value)
      : kind === "bool"
        ? /^(1|0|t|f|T|F|true|false|TRUE|FALSE|True|False)$/.test(value)
        : kind !== "duration" || parseDurationMs(value) !== undefined;
  if (!fits) throw new UsageError(`invalid value ${JSON.stringify(value)} for flag -${name}: parse error`, 2);
}

const UNIT_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 36e5 };

/** Milliseconds of a Go duration such as `1h30m`, or undefined when it is none. */
export function parseDurationMs(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(amount) * (UNIT_MS[unit as string] as number);
  }
  return total;
}

/** The variable of a flag: `ETCD_INITIAL_CLUSTER` for `initial-cluster`. */
export function variableOf(name: string): string {
  return `ETCD_${name.toUpperCase().replaceAll("-", "_")}`;
}

/**
 * Adds the values of `ETCD_*` variables. A flag and its variable together are refused, as upstream does.
 * @returns the values, and the names of variables that mean nothing
 * @throws UsageError
 */
export function addEnvironment(
  flags: FlagValues,
  env: Readonly<Record<string, string | undefined>>,
): { values: FlagValues; unknown: string[] } {
  const byVariable = new Map(Object.keys(FLAGS).map((name) => [variableOf(name), name]));
  const values = new Map(flags);
  const unknown: string[] = [];
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith("ETCD_") || value === undefined || value === "") continue;
    const name = byVariable.get(variable);
    // ETCD_VERSION is set by many images and means nothing to the server.
    if (name === undefined || name === "version") {
      unknown.push(variable);
      continue;
    }
    if (flags.has(name)) {
      throw new UsageError(
        `conflicting environment variable "${variable}" is shadowed by corresponding command-line flag (either unset environment variable or disable flag)`,
        1,
      );
    }
    checkValue(name, value);
    values.set(name, value);
  }
  return { values, unknown };
}

/** The help text. */
export function helpText(): string {
  const lines = Object.entries(FLAGS).map(([name, { fallback, help }]) => {
    const value = fallback === "" ? "''" : `'${fallback}'`;
    return `  --${name} ${value}\n    ${help}.`;
  });
  return `Usage:\n\n  etcd [flags]\n    Start an etcd server.\n\n  etcd --version\n    Show the version of etcd.\n\n  etcd -h | --help\n    Show the help information about etcd.\n\n  etcd --config-file FILE\n    Path to the server configuration file. Note that if a configuration file is provided, other command line flags and environment variables will be ignored.\n\nFlags:\n${lines.join("\n")}\n`;
}
