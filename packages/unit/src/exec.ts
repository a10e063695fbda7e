import { UnitValueError } from "./errors.ts";
import { splitBlanks } from "./text.ts";
import { splitWords } from "./words.ts";

/** One command of an Exec setting, before specifiers and variables are replaced. Source: systemd.service(5). */
export interface ExecCommand {
  /** The program: an absolute path, or a name that is searched for. */
  readonly path: string;
  /** Arguments after the program's name. */
  readonly args: readonly string[];
  /** Prefix `@`: what the program sees as its own name. */
  readonly argv0?: string;
  /** Prefix `-`: a failure counts as success. */
  readonly ignoreFailure: boolean;
  /** Prefix `:`: variables are not replaced. */
  readonly literal: boolean;
  /** Prefix `+`, `!` or `!!`: wants more privileges than the unit's other commands. */
  readonly privilege?: "+" | "!" | "!!";
}

/** Commands on one line. */
export const EXEC_COMMANDS_MAX = 256;

/**
 * Parses an Exec line: prefixes `@ - : + ! !!`, quoting, and `;` as a word of its own between commands.
 *
 * @throws UnitValueError
 */
export function parseExec(line: string): ExecCommand[] {
  const commands: ExecCommand[] = [];
  let words: string[] = [];
  const finish = () => {
    if (words.length > 0) commands.push(parseCommand(words));
    words = [];
    if (commands.length > EXEC_COMMANDS_MAX)
      throw new UnitValueError(`more than ${EXEC_COMMANDS_MAX} commands on one line`);
  };
  for (const word of splitWords(line)) {
    if (word.raw === ";") finish();
    else words.push(word.raw === "\\;" ? ";" : word.text);
  }
  finish();
  return commands;
}

function parseCommand(words: readonly string[]): ExecCommand {
  const [first = "", ...rest] = words;
  const prefixes = /^(?:!!|[@\-:+!])*/.exec(first)?.[0] ?? "";
  const path = first.slice(prefixes.length);
  if (path === "") throw new UnitValueError(`no program after the prefix ${JSON.stringify(prefixes)}`);
  if (path.endsWith("/")) throw new UnitValueError(`the program ${JSON.stringify(path)} is a directory's path`);
  if (!path.startsWith("/") && path.includes("/")) {
    throw new UnitValueError(`the program ${JSON.stringify(path)} is neither an absolute path nor a bare name`);
  }
  const renamed = prefixes.includes("@");
  if (renamed && rest.length === 0)
    throw new UnitValueError("the prefix @ needs a second word, the program's own name");
  const privilege = prefixes.includes("!!")
    ? "!!"
    : prefixes.includes("!")
      ? "!"
      : prefixes.includes("+")
        ? "+"
        : undefined;
  return {
    path,
    args: renamed ? rest.slice(1) : rest,
    ...(renamed ? { argv0: rest[0] ?? "" } : {}),
    ignoreFailure: prefixes.includes("-"),
    literal: prefixes.includes(":"),
    ...(privilege === undefined ? {} : { privilege }),
  };
}

/**
 * Replaces variables in arguments: the word `$NAME` becomes the words of its value (none when unset), `${NAME}` anywhere
 * becomes its value, `$$` a dollar. Source: systemd.service(5), "Command lines".
 */
export function expandVariables(args: readonly string[], environment: ReadonlyMap<string, string>): string[] {
  return args.flatMap((arg) => {
    const name = /^\$([A-Za-z_][A-Za-z0-9_]*)$/.exec(arg)?.[1];
    if (name !== undefined) return splitVariable(environment.get(name) ?? "");
    return [
      arg.replace(/\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (all, braced?: string) =>
        all === "$$" ? "$" : (environment.get(braced ?? "") ?? ""),
      ),
    ];
  });
}

/** Quotes in a variable's value group words, as far as they are balanced. */
function splitVariable(value: string): string[] {
  try {
    return splitWords(value).map((word) => word.text);
  } catch (error) {
    if (!(error instanceof UnitValueError)) throw error;
    return splitBlanks(value);
  }
}
