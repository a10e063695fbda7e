import { basename } from "node:path";
import { ImageDefinitionError } from "./errors.ts";

/** `modules.dep`: module file (relative to the version's folder) → files it needs, nearest first. */
export type ModuleDependencies = ReadonlyMap<string, readonly string[]>;

/** Reads depmod's `modules.dep`. Pure. */
export function parseModulesDep(text: string): ModuleDependencies {
  return new Map(
    text.split("\n").flatMap((line) => {
      const colon = line.indexOf(":");
      if (colon < 0) return [];
      return [
        [
          line.slice(0, colon),
          line
            .slice(colon + 1)
            .trim()
            .split(/\s+/)
            .filter(Boolean),
        ] as const,
      ];
    }),
  );
}

/** `kernel/net/nf_tables.ko.xz` → `nf_tables`; `-` and `_` are one to modprobe. Pure. */
export function moduleName(file: string): string {
  return basename(file)
    .replace(/\.ko(\.\w+)?$/, "")
    .replaceAll("-", "_");
}

/**
 * The files of the wanted modules and of all they need, in an order in which insmod can load them.
 * A module that is built into the kernel needs no file. Pure.
 * @throws {ImageDefinitionError} for names this kernel does not have.
 */
export function moduleClosure(
  wanted: readonly string[],
  dependencies: ModuleDependencies,
  builtin: ReadonlySet<string>,
): string[] {
  const fileOf = new Map([...dependencies.keys()].map((file) => [moduleName(file), file]));
  const order = new Set<string>();
  const unknown: string[] = [];
  for (const name of wanted) {
    const file = fileOf.get(moduleName(name));
    if (file === undefined) {
      if (!builtin.has(moduleName(name))) unknown.push(name);
      continue;
    }
    // modules.dep lists a module's needs nearest first: the last is loaded first.
    for (const needed of (dependencies.get(file) ?? []).toReversed()) order.add(needed);
    order.add(file);
  }
  if (unknown.length > 0) throw new ImageDefinitionError(`this kernel has no module ${unknown.join(", ")}`);
  return [...order];
}
