import { RequestError } from "../errors.ts";

/** A flag of a command line. */
export interface FlagSpec {
  /** `value`: `--x=v` or `--x v`. `switch`: `--x`, `--x=false`. */
  readonly kind: "value" | "switch";
  /** May be given more than once. */
  readonly repeats?: true;
  /** One letter: `-f`. */
  readonly short?: string;
  /** What stands for the value in the help. */
  readonly hint?: string;
  readonly help: string;
}

/** Flags by name, without the dashes. */
export type FlagTable = Readonly<Record<string, FlagSpec>>;

/** Most words of a command line. */
export const WORDS_MAX = 4096;

/** One word of a command line, understood. */
export type Token =
  | { readonly type: "flag"; readonly name: string; readonly value: string }
  | { readonly type: "word"; readonly text: string };

/** Reads one flag or word at `at`. Returns it and where the next begins. `--` is a word. */
export function readToken(table: FlagTable, words: readonly string[], at: number): { token: Token; next: number } {
  const word = words[at] ?? "";
  if (!word.startsWith("-") || word === "-" || word === "--" || word === "---")
    return { token: { type: "word", text: word }, next: at + 1 };
  const equals = word.indexOf("=");
  const given = (equals === -1 ? word : word.slice(0, equals)).replace(/^--?/, "");
  const name = Object.hasOwn(table, given)
    ? given
    : Object.keys(table).find((key) => table[key]?.short === given && word[1] !== "-");
  const spec = name === undefined ? undefined : table[name];
  if (name === undefined || spec === undefined)
    throw new RequestError(`there is no flag --${given.slice(0, 60)} here`, { flag: given.slice(0, 60) });
  if (equals !== -1) return { token: { type: "flag", name, value: word.slice(equals + 1) }, next: at + 1 };
  if (spec.kind === "switch") return { token: { type: "flag", name, value: "true" }, next: at + 1 };
  const value = words[at + 1];
  if (value === undefined)
    throw new RequestError(`--${name} needs a value, as in --${name}=${spec.hint ?? "VALUE"}`, { flag: name });
  return { token: { type: "flag", name, value }, next: at + 2 };
}

/** Flags and plain words of a simple command. */
export interface ParsedFlags {
  readonly words: readonly string[];
  /** The last value given. */
  one(name: string): string | undefined;
  /** All values given, in order. */
  all(name: string): readonly string[];
  /** Whether a switch is on. */
  is(name: string): boolean;
  has(name: string): boolean;
}

/**
 * Parses the words of a command whose flags may stand anywhere. After `--` (or, with `stopAtWords`, after so many plain
 * words) everything is a plain word.
 *
 * @throws RequestError for an unknown flag, a missing value, or one given twice that does not repeat
 */
export function parseFlags(
  table: FlagTable,
  argv: readonly string[],
  stopAtWords = Number.POSITIVE_INFINITY,
): ParsedFlags {
  if (argv.length > WORDS_MAX) throw new RequestError(`more than ${WORDS_MAX} words`);
  const values = new Map<string, string[]>();
  const words: string[] = [];
  for (let at = 0; at < argv.length; ) {
    if (words.length >= stopAtWords) {
      words.push(...argv.slice(argv[at] === "--" ? at + 1 : at));
      break;
    }
    const { token, next } = readToken(table, argv, at);
    at = next;
    if (token.type === "flag") addFlag(table, values, token.name, token.value);
    else if (token.text === "--") {
      words.push(...argv.slice(at));
      break;
    } else words.push(token.text);
  }
  return flagsOf(values, words);
}

/** Notes a flag; refuses a second one where that makes no sense. */
export function addFlag(table: FlagTable, values: Map<string, string[]>, name: string, value: string): void {
  const before = values.get(name);
  if (before === undefined) values.set(name, [value]);
  else if (table[name]?.repeats === true) before.push(value);
  else throw new RequestError(`--${name} is given twice`, { flag: name });
}

/** A view of collected flags. */
export function flagsOf(values: ReadonlyMap<string, readonly string[]>, words: readonly string[]): ParsedFlags {
  return {
    words,
    one: (name) => values.get(name)?.at(-1),
    all: (name) => values.get(name) ?? [],
    has: (name) => values.has(name),
    is(name) {
      const value = values.get(name)?.at(-1);
      if (value === undefined || value === "false") return false;
      if (value === "true") return true;
      throw new RequestError(`--${name}: ${JSON.stringify(value.slice(0, 60))} is neither true nor false`, {
        flag: name,
      });
    },
  };
}

/** The help lines of a table. */
export function describeFlags(table: FlagTable): string {
  const left = (name: string, spec: FlagSpec) =>
    `  ${spec.short === undefined ? "" : `-${spec.short}, `}--${name}${spec.kind === "value" ? `=${spec.hint ?? "VALUE"}` : ""}`;
  const rows = Object.entries(table).map(([name, spec]) => [left(name, spec), spec.help] as const);
  const width = Math.min(44, Math.max(0, ...rows.map(([text]) => text.length)) + 2);
  return rows.map(([text, help]) => `${text.padEnd(width)}${text.length >= width ? "  " : ""}${help}\n`).join("");
}
