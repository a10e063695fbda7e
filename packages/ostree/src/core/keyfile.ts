import { OstreeFormatError } from "./errors.ts";

/** glib's key files, as the repository's `config` is one: groups of keys, comments kept. */
export interface KeyFile {
  readonly groups: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

const BYTES_MAX = 1024 * 1024;

/** Parses a key file; values are unescaped. A group that stands twice is merged. @throws {OstreeFormatError} */
export function parseKeyFile(text: string): KeyFile {
  if (text.length > BYTES_MAX) throw new OstreeFormatError("key file is too large", { chars: text.length });
  const groups = new Map<string, Map<string, string>>();
  let group: Map<string, string> | undefined;
  for (const [i, raw] of text.split("\n").entries()) {
    const line = raw.replace(/^[ \t\r]+/, "");
    if (line === "" || line.startsWith("#")) continue;
    const header = /^\[([^[\]]+)\]\s*$/.exec(line)?.[1];
    if (header !== undefined) {
      group = groups.get(header) ?? new Map();
      groups.set(header, group);
      continue;
    }
    const equals = line.indexOf("=");
    if (equals <= 0 || group === undefined)
      throw new OstreeFormatError(`key file, line ${i + 1}: neither [group] nor key=value`);
    group.set(trim(line.slice(0, equals)), unescape(trim(line.slice(equals + 1))));
  }
  return { groups };
}

/** ASCII only, as glib: a value may begin with any other space. */
function trim(text: string): string {
  return text.replace(/^[ \t\r]+|[ \t\r]+$/g, "");
}

const ESCAPES: Readonly<Record<string, string>> = { s: " ", t: "\t", n: "\n", r: "\r", "\\": "\\" };

function unescape(value: string): string {
  return value.replace(/\\(.?)/g, (all, c: string) => ESCAPES[c] ?? all);
}

/** Writes a key file that {@link parseKeyFile} and glib read back. @throws {OstreeFormatError} a name that cannot be written */
export function formatKeyFile(
  groups: Iterable<readonly [group: string, keys: Iterable<readonly [string, string]>]>,
): string {
  const blocks: string[] = [];
  for (const [group, keys] of groups) {
    if (group === "" || /[[\]\n\0]/.test(group)) throw new OstreeFormatError("not a group's name", { group });
    const lines = [`[${group}]`];
    for (const [key, value] of keys) {
      if (key === "" || /[=\n\0[\]]|^\s|\s$|^#/.test(key)) throw new OstreeFormatError("not a key", { key });
      lines.push(`${key}=${escape(value)}`);
    }
    blocks.push(`${lines.join("\n")}\n`);
  }
  return blocks.join("\n");
}

function escape(value: string): string {
  return value
    .replaceAll("\\", "\\\\")
    .replaceAll("\n", "\\n")
    .replaceAll("\t", "\\t")
    .replaceAll("\r", "\\r")
    .replace(/^ +| +$/g, (spaces) => "\\s".repeat(spaces.length));
}
