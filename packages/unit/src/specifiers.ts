import { UnitValueError } from "./errors.ts";
import type { UnitNameInfo } from "./name.ts";

/** Values that a specifier needs beside the unit's name. A missing one makes its specifier an error, never empty. */
export interface SpecifierHost {
  /** %H */
  readonly hostname?: string;
  /** %m */
  readonly machineId?: string;
  /** %b */
  readonly bootId?: string;
  /** %t, such as `/run` */
  readonly runtimeDirectory?: string;
  /** %S, such as `/var/lib` */
  readonly stateDirectory?: string;
  /** %C, such as `/var/cache` */
  readonly cacheDirectory?: string;
  /** %L, such as `/var/log` */
  readonly logsDirectory?: string;
  /** %E, such as `/etc` */
  readonly configDirectory?: string;
  /** %T, such as `/tmp` */
  readonly temporaryDirectory?: string;
  /** %h */
  readonly home?: string;
  /** %u */
  readonly user?: string;
  /** %v */
  readonly kernelRelease?: string;
}

const HOST: Readonly<Record<string, keyof SpecifierHost>> = {
  H: "hostname",
  m: "machineId",
  b: "bootId",
  t: "runtimeDirectory",
  S: "stateDirectory",
  C: "cacheDirectory",
  L: "logsDirectory",
  E: "configDirectory",
  T: "temporaryDirectory",
  h: "home",
  u: "user",
  v: "kernelRelease",
};

/**
 * Replaces the specifiers of a unit file's value: %n %N %p %P %i %I %j %J from the name, those of {@link SpecifierHost},
 * and %% for a percent sign. Source: systemd.unit(5), "Specifiers".
 *
 * @throws UnitValueError for a specifier that is unknown or whose value is not known here
 */
export function expandSpecifiers(value: string, unit: UnitNameInfo, host: SpecifierHost): string {
  if (!value.includes("%")) return value;
  let out = "";
  for (let i = 0; i < value.length; i++) {
    if (value[i] !== "%") {
      out += value[i];
      continue;
    }
    const letter = value[++i];
    // A lone percent sign at the end stays, as in systemd.
    out += letter === undefined ? "%" : expandOne(letter, unit, host);
  }
  return out;
}

function expandOne(letter: string, unit: UnitNameInfo, host: SpecifierHost): string {
  switch (letter) {
    case "%":
      return "%";
    case "n":
      return unit.fullName;
    case "N":
      return unit.name;
    case "p":
      return unit.prefix;
    case "P":
      return unescapeName(unit.prefix);
    case "i":
      return unit.instance ?? "";
    case "I":
      return unescapeName(unit.instance ?? "");
    case "j":
      return lastComponent(unit.prefix);
    case "J":
      return unescapeName(lastComponent(unit.prefix));
    default: {
      const key = Object.hasOwn(HOST, letter) ? HOST[letter] : undefined;
      const known = key === undefined ? undefined : host[key];
      if (known !== undefined) return known;
      throw new UnitValueError(`the specifier %${letter} is not supported here; write %% for a percent sign`);
    }
  }
}

function lastComponent(prefix: string): string {
  return prefix.slice(prefix.lastIndexOf("-") + 1);
}

/** Undoes systemd-escape(1): `-` is `/`, `\x2d` is `-`. Bytes that are not UTF-8 become replacement characters. */
export function unescapeName(name: string): string {
  const bytes: number[] = [];
  const encoder = new TextEncoder();
  for (let i = 0; i < name.length; i++) {
    const hex = /^\\x([0-9a-fA-F]{2})/.exec(name.slice(i, i + 4))?.[1];
    if (hex !== undefined) {
      bytes.push(Number.parseInt(hex, 16));
      i += 3;
    } else if (name[i] === "-") bytes.push(0x2f);
    else bytes.push(...encoder.encode(name[i]));
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}
