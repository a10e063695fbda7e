import { compareNames } from "./names.ts";
import type { Checksum, DirTree } from "./objects.ts";

/** A file that differs between two directories. `from` or `to` is undefined when it is only in the other. */
export interface FileDifference {
  readonly name: string;
  readonly from?: Checksum;
  readonly to?: Checksum;
}

/** A directory that differs: in what is in it (`tree`), in owner, mode or xattrs (`meta`), or in being there. */
export interface DirDifference {
  readonly name: string;
  readonly from?: { readonly tree: Checksum; readonly meta: Checksum };
  readonly to?: { readonly tree: Checksum; readonly meta: Checksum };
}

/** Compares two directories, not what is below. Equal entries, also whole equal subtrees, are left out. Sorted by name. */
export function diffDirTrees(
  from: DirTree,
  to: DirTree,
): { readonly files: readonly FileDifference[]; readonly dirs: readonly DirDifference[] } {
  const files = pair(new Map(from.files), new Map(to.files), (a, b) => a === b);
  const dirs = pair(dirMap(from), dirMap(to), (a, b) => a.tree === b.tree && a.meta === b.meta);
  return { files, dirs };
}

function dirMap(tree: DirTree): Map<string, { readonly tree: Checksum; readonly meta: Checksum }> {
  return new Map(tree.dirs.map(([name, subtree, meta]) => [name, { tree: subtree, meta }]));
}

function pair<T>(
  from: ReadonlyMap<string, T>,
  to: ReadonlyMap<string, T>,
  same: (a: T, b: T) => boolean,
): { readonly name: string; readonly from?: T; readonly to?: T }[] {
  const differences: { readonly name: string; readonly from?: T; readonly to?: T }[] = [];
  for (const name of [...new Set([...from.keys(), ...to.keys()])].sort(compareNames)) {
    const a = from.get(name);
    const b = to.get(name);
    if (a !== undefined && b !== undefined && same(a, b)) continue;
    differences.push({ name, ...(a !== undefined && { from: a }), ...(b !== undefined && { to: b }) });
  }
  return differences;
}
