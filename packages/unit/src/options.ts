import { parseUnit } from "./document.ts";
import { UnitSyntaxError, UnitValueError } from "./errors.ts";
import { sha1 } from "./sha1.ts";

/** One setting as fleet's API and registry carry it. Continuations stay folded: `a \\\nb`. */
export interface UnitOption {
  readonly section: string;
  readonly name: string;
  readonly value: string;
}

/** The settings of a unit file in file order; comments and blank lines are not settings. @throws UnitSyntaxError */
export function parseOptions(text: string): UnitOption[] {
  const options: UnitOption[] = [];
  for (const node of parseUnit(text).nodes) {
    if (node.type === "option") options.push({ section: node.section, name: node.name, value: node.value });
  }
  return options;
}

/**
 * The unit file of a list of settings, as go-systemd writes it: sections in the order of their first setting, a blank
 * line between them. fleet's unit hash is over this text.
 */
export function formatOptions(options: readonly UnitOption[]): string {
  const sections = new Map<string, string[]>();
  for (const { section, name, value } of options) {
    const lines = sections.get(section) ?? [];
    lines.push(`${name}=${value}\n`);
    sections.set(section, lines);
  }
  return [...sections].map(([section, lines]) => `[${section}]\n${lines.join("")}`).join("\n");
}

/**
 * Refuses settings that would not survive the way through a file: a value with a bare newline could smuggle in another
 * setting or section.
 *
 * @throws UnitSyntaxError, UnitValueError
 */
export function checkOptions(options: readonly UnitOption[]): void {
  for (const { section, name, value } of options) {
    let same = false;
    try {
      const [back, ...more] = parseOptions(`[${section}]\n${name}=${value}\n`);
      same = more.length === 0 && back?.section === section && back.name === name && back.value === value;
    } catch (cause) {
      if (!(cause instanceof UnitSyntaxError)) throw cause;
      throw new UnitValueError(
        `option ${name} of section [${section}] cannot be written to a unit file`,
        { section, name },
        { cause },
      );
    }
    if (!same) {
      throw new UnitValueError(
        `option ${JSON.stringify(name)} of section ${JSON.stringify(section)} does not read back from a unit file as given; trim it and escape its line ends`,
        { section, name },
      );
    }
  }
  parseUnit(formatOptions(options)); // the size of the whole
}

/** fleet's unit hash: SHA-1, in hex, of {@link formatOptions}. Source: fleet unit/unit.go, Hash. */
export function hashOptions(options: readonly UnitOption[]): string {
  return sha1(new TextEncoder().encode(formatOptions(options)));
}

/** The seven digits that fleetctl shows. */
export function shortHash(hash: string): string {
  return hash.slice(0, 7);
}
