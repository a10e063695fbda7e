/** A flag as Go's package of that name has it. */
export interface Flag {
  readonly name: string;
  /** `list` may be given several times; what it is called in usage texts is `value`. */
  readonly type: "bool" | "string" | "list";
  /** As usage texts show it. */
  readonly fallback: string;
  readonly usage: string;
}

export type FlagValues = ReadonlyMap<string, readonly string[]>;

export interface ParsedFlags {
  readonly values: FlagValues;
  /** What is no flag. */
  readonly args: readonly string[];
}

/** Go's text for what cannot be parsed; `isHelp`: `-h` or `-help`, which is no error. */
export class FlagError extends Error {
  readonly isHelp: boolean;

  constructor(message: string, isHelp = false) {
    super(message);
    this.isHelp = isHelp;
  }
}

/**
 * Parses as Go's flag package does: `-x`, `-x=v`, `-x v`, with one dash or two; `--` ends the flags. Unlike it, flags
 * are also found behind words when `isMixed`.
 *
 * @throws {FlagError}
 */
export function parseFlags(argv: readonly string[], flags: readonly Flag[], isMixed: boolean): ParsedFlags {
  const values = new Map<string, string[]>();
  const args: string[] = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") return { values, args: [...args, ...rest] };
    if (!/^-./.test(word)) {
      args.push(word);
      if (isMixed) continue;
      return { values, args: [...args, ...rest] };
    }
    const { flag, value } = readFlag(word, flags, rest);
    values.set(flag.name, flag.type === "list" ? [...(values.get(flag.name) ?? []), value] : [value]);
  }
  return { values, args };
}

function readFlag(word: string, flags: readonly Flag[], rest: string[]): { flag: Flag; value: string } {
  const match = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(word);
  if (match === null) throw new FlagError(`bad flag syntax: ${word}`);
  const [, name = "", given] = match;
  const flag = flags.find((f) => f.name === name);
  if (flag === undefined) {
    if (name === "help" || name === "h") throw new FlagError("flag: help requested", true);
    throw new FlagError(`flag provided but not defined: -${name}`);
  }
  if (flag.type === "bool") return { flag, value: parseBool(flag.name, given ?? "true") };
  const value = given ?? rest.shift();
  if (value === undefined) throw new FlagError(`flag needs an argument: -${name}`);
  return { flag, value };
}

/** strconv.ParseBool. @throws {FlagError} */
export function parseBool(name: string, text: string): string {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return "true";
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return "false";
  throw new FlagError(`invalid boolean value ${JSON.stringify(text)} for -${name}: parse error`);
}

/** What Go prints of all flags, below `Usage of …:`. */
export function printDefaults(flags: readonly Flag[]): string {
  const lines = flags.map(({ name, type, usage }) => {
    const value = { bool: "", string: " string", list: " value" }[type];
    return `  -${name}${value}\n    \t${usage}\n`;
  });
  return lines.join("");
}
