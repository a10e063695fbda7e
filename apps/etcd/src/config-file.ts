import { FLAGS } from "./flags.ts";
import { checkValue, type FlagValues, UsageError } from "./parse-flags.ts";

/**
 * Reads a configuration file: JSON, or YAML with one `key: value` a line. Keys are the names of the flags. Durations are
 * whole nanoseconds, as upstream has them.
 * @throws UsageError saying which line is wrong
 */
export function parseConfigFile(text: string, path: string): FlagValues {
  const pairs = text.trimStart().startsWith("{") ? jsonPairs(text, path) : yamlPairs(text, path);
  const values = new Map<string, string>();
  for (const [key, raw] of pairs) {
    const spec = FLAGS[key];
    if (spec === undefined) throw new UsageError(`${path}: unknown key "${key}"`, 1);
    const value = spec.kind === "duration" && /^\d+$/.test(raw) ? `${raw}ns` : raw;
    if (value === "" && spec.kind !== "string") continue;
    checkValue(key, value);
    values.set(key, value);
  }
  return values;
}

function jsonPairs(text: string, path: string): [string, string][] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${path}: ${error instanceof Error ? error.message : "not JSON"}`, 1);
  }
  return Object.entries(parsed as Record<string, unknown>).map(([key, value]) => {
    if (value === null) return [key, ""];
    if (typeof value === "string") return [key, value];
    if (typeof value === "number" || typeof value === "boolean") return [key, String(value)];
    throw new UsageError(`${path}: "${key}" must be a plain value`, 1);
  });
}

function yamlPairs(text: string, path: string): [string, string][] {
  const pairs: [string, string][] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const bare = line.replace(/(^|\s)#.*$/, "").trimEnd();
    if (bare.trim() === "" || bare === "---") continue;
    const match = /^([a-z0-9-]+):(?:\s+(.*))?$/.exec(bare);
    if (match === null)
      throw new UsageError(
        `${path}:${i + 1}: expected "key: value" at the start of the line (nested settings are not supported)`,
        1,
      );
    const [, key = "", value = ""] = match;
    pairs.push([key, value.replace(/^(["'])(.*)\1$/, "$2")]);
  }
  return pairs;
}
