// Reads scripts in the format of github.com/cockroachdb/datadriven: a command line, input lines, `----`, the expected
// output up to a blank line (or between doubled `----` when it contains blank lines).

export interface CommandArg {
  readonly key: string;
  /** Empty for a bare `key`; one element for `key=value`; the elements for `key=(a, b)`. */
  readonly values: readonly string[];
}

export interface Command {
  readonly name: string;
  readonly args: readonly CommandArg[];
  readonly input: string;
  readonly expected: string;
  /** `file:line` of the command line. */
  readonly position: string;
}

/** A stretch of the file: comments and blank lines, then at most one command up to its separator. */
interface Segment {
  readonly lines: readonly string[];
  readonly command?: Command;
}

export class ScriptError extends Error {}

/** Runs every command through `run` and returns the commands whose output differs. */
export function checkScript(text: string, file: string, run: (c: Command) => string): Mismatch[] {
  const mismatches: Mismatch[] = [];
  for (const { command } of parseScript(text, file)) {
    if (command === undefined) continue;
    const actual = normalised(run(command));
    if (actual !== command.expected) mismatches.push({ command, actual });
  }
  return mismatches;
}

export interface Mismatch {
  readonly command: Command;
  readonly actual: string;
}

/** The script with its expected outputs replaced by what `run` says. */
export function rewriteScript(text: string, file: string, run: (c: Command) => string): string {
  let out = "";
  for (const { lines, command } of parseScript(text, file)) {
    for (const line of lines) out += `${line}\n`;
    if (command === undefined) continue;
    const actual = normalised(run(command));
    const doubled = actual
      .split("\n")
      .slice(0, -1)
      .some((line) => line.trim() === "");
    out += doubled ? `----\n----\n${actual}----\n----\n` : `----\n${actual}`;
    out += "\n";
  }
  return out.replace(/\n+$/, "\n");
}

function normalised(output: string): string {
  return output === "" || output.endsWith("\n") ? output : `${output}\n`;
}

export function parseScript(text: string, file: string): Segment[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const segments: Segment[] = [];
  let pending: string[] = [];
  let at = 0;
  const take = (): string => (lines[at++] as string).replace(/\r$/, "");
  while (at < lines.length) {
    const position = `${file}:${at + 1}`;
    const raw = take();
    pending.push(raw);
    let line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    while (line.endsWith("\\") && at < lines.length) {
      const next = take();
      pending.push(next);
      line = `${line.slice(0, -1)} ${next.trim()}`;
    }
    const { name, args } = parseLine(line, position);
    const input: string[] = [];
    let separated = false;
    while (at < lines.length) {
      const next = take();
      if (next === "----") {
        separated = true;
        break;
      }
      input.push(next);
      pending.push(next);
    }
    const expected = separated ? readExpected() : "";
    segments.push({ lines: pending, command: { name, args, input: input.join("\n").trim(), expected, position } });
    pending = [];
  }
  if (pending.length > 0) segments.push({ lines: pending });
  return segments;

  function readExpected(): string {
    let out = "";
    if (lines[at] === "----") {
      at++;
      while (at < lines.length) {
        const line = take();
        if (line === "----" && lines[at] === "----") {
          at++;
          // The blank line after the block belongs to it.
          if (lines[at]?.trim() === "") at++;
          break;
        }
        out += `${line}\n`;
      }
      return out;
    }
    while (at < lines.length) {
      const line = take();
      if (line.trim() === "") break;
      out += `${line}\n`;
    }
    return out;
  }
}

/** Splits `name key key=value key=(a, (b, c))`. */
export function parseLine(line: string, position: string): { name: string; args: CommandArg[] } {
  const [name = ""] = /^\S*/.exec(line) ?? [];
  let rest = line.slice(name.length).trim();
  const args: CommandArg[] = [];
  while (rest !== "") {
    const [key = ""] = /^[^ =]+/.exec(rest) ?? [];
    if (key === "") throw new ScriptError(`${position}: cannot parse directive at: ${rest}`);
    rest = rest.slice(key.length);
    let values: string[] = [];
    if (rest.startsWith("=(")) {
      const list = splitList(rest.slice(2), position);
      values = list.values;
      rest = list.rest;
    } else if (rest.startsWith("=")) {
      const [value = ""] = /^[^ ]*/.exec(rest.slice(1)) ?? [];
      values = [value];
      rest = rest.slice(1 + value.length);
    }
    args.push({ key, values });
    rest = rest.trim();
  }
  return { name, args };
}

/** Reads `a, (b, c))…` up to the unmatched parenthesis. */
function splitList(text: string, position: string): { values: string[]; rest: string } {
  const values: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === "(") depth++;
    else if (c === ")" && depth > 0) depth--;
    else if (c === ")" || (c === "," && depth === 0)) {
      values.push(text.slice(start, i));
      if (c === ")") return { values, rest: text.slice(i + 1) };
      start = i + 1;
      while (text[start] === " ") start++;
      i = start - 1;
    }
  }
  throw new ScriptError(`${position}: missing closing parenthesis`);
}

/** The values of `key`, over all its occurrences. */
export function valuesOf(c: Command, key: string): string[] {
  return c.args.filter((a) => a.key === key).flatMap((a) => a.values);
}

/** The single value of `key`, if given. */
export function valueOf(c: Command, key: string): string | undefined {
  return valuesOf(c, key)[0];
}

export function parseUint(c: Command, text: string): bigint {
  if (!/^\d+$/.test(text)) throw new ScriptError(`${c.position}: not a number: ${text}`);
  return BigInt(text);
}

export function parseBool(c: Command, text: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw new ScriptError(`${c.position}: not a boolean: ${text}`);
}
