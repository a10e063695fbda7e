import { equalBytes } from "./bytes.ts";
import { compareNames } from "./names.ts";
import type { Xattr } from "./objects.ts";

interface EtcAttributes {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits; type bits are not looked at. */
  readonly mode: number;
  /** Sorted by name; absent is none. */
  readonly xattrs?: readonly Xattr[];
}

/** A directory, file or symlink of an /etc. Others (sockets, devices) are left out of a manifest: they are not merged. */
export type EtcEntry =
  | ({ readonly kind: "dir" } & EtcAttributes)
  | ({
      readonly kind: "file" /** Checksum of the content, of any one kind. */;
      readonly content: string;
    } & EtcAttributes)
  | ({ readonly kind: "symlink"; readonly target: string } & EtcAttributes);

/** An /etc by relative path, such as `ssh/sshd_config`; the root itself is not in it. */
export type EtcManifest = ReadonlyMap<string, EtcEntry>;

/**
 * A step that turns a copy of the new defaults into the merged /etc, in the order given. `remove` takes all below it;
 * `mkdir` and `copy` find nothing at their path, or for `copy` over a file, a file that is replaced.
 */
export type EtcAction =
  | { readonly action: "remove"; readonly path: string }
  | { readonly action: "mkdir" | "chattr" | "copy"; readonly path: string; readonly entry: EtcEntry };

/** Where the machine and the new version disagree. The machine's wins; this is what to tell its owner. */
export interface EtcConflict {
  readonly path: string;
  readonly reason:
    | "both-changed" // Changed here and in the new defaults.
    | "default-removed" // Changed here; the new defaults no longer have it.
    | "removed-here" // Removed here; the new defaults changed it.
    | "type"; // A directory here and not in the new defaults, or the other way round.
}

/** What {@link planEtcMerge} found. */
export interface EtcMergePlan {
  readonly actions: readonly EtcAction[];
  readonly conflicts: readonly EtcConflict[];
  /** Local changes, counted as upstream prints them. */
  readonly changes: { readonly modified: number; readonly removed: number; readonly added: number };
}

/** Options of {@link planEtcMerge}. */
export interface EtcMergeOptions {
  /** `ignore` is upstream's: there, SELinux labels differ between /etc and /usr/etc. Default `compare`. */
  readonly xattrs?: "compare" | "ignore";
}

/**
 * The three-way merge of /etc, by path: what differs between the old defaults (`/usr/etc` of the running deployment) and
 * the current /etc is the machine's and is kept; all else follows the new defaults.
 *
 * - changed or added here: kept as it is, also when the new defaults changed, removed or added it;
 * - removed here: stays removed, with all that the new defaults have below it;
 * - content, symlink target, owner, mode, type and xattrs each count as a change;
 * - a directory whose own attributes were not changed here takes those of the new defaults, and is kept with its current ones
 *   when they no longer have it but something below it was changed or added here;
 * - of a directory here and something else there (or the reverse), the machine's stays if it or anything below it is a local change.
 *
 * Like upstream's merge_configuration_from (ostree-sysroot-deploy.c), except where that loses local changes or fails: it drops a
 * changed mode of a directory, and what is in a directory that was a file in the old and is a directory in the new
 * defaults; it gives every directory above a change its old attributes; and it refuses to deploy when a locally changed file is
 * a directory in the new defaults, or a directory with local changes is none.
 */
export function planEtcMerge(
  oldDefaults: EtcManifest,
  newDefaults: EtcManifest,
  current: EtcManifest,
  options: EtcMergeOptions = {},
): EtcMergePlan {
  const same = (a: EtcEntry | undefined, b: EtcEntry | undefined) => equalEntries(a, b, options.xattrs !== "ignore");
  const merged = mergeManifests(oldDefaults, newDefaults, current, same);
  return {
    actions: actionsBetween(newDefaults, merged, same),
    conflicts: findConflicts(oldDefaults, newDefaults, current, same),
    changes: countChanges(oldDefaults, current, same),
  };
}

type Same = (a: EtcEntry | undefined, b: EtcEntry | undefined) => boolean;

function equalEntries(a: EtcEntry | undefined, b: EtcEntry | undefined, withXattrs: boolean): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.kind !== b.kind || a.uid !== b.uid || a.gid !== b.gid) return false;
  // A symlink's own mode means nothing.
  if (a.kind !== "symlink" && (a.mode & 0o7777) !== (b.mode & 0o7777)) return false;
  if (a.kind === "file" && b.kind === "file" && a.content !== b.content) return false;
  if (a.kind === "symlink" && b.kind === "symlink" && a.target !== b.target) return false;
  return !withXattrs || equalXattrs(a.xattrs ?? [], b.xattrs ?? []);
}

function equalXattrs(a: readonly Xattr[], b: readonly Xattr[]): boolean {
  return a.length === b.length && a.every((x, i) => x.name === b[i]?.name && equalBytes(x.value, b[i].value));
}

function parentOf(path: string): string | undefined {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? undefined : path.slice(0, slash);
}

/** Whether something above `path` is in the set. */
function isBelow(path: string, set: ReadonlySet<string>): boolean {
  for (let at = parentOf(path); at !== undefined; at = parentOf(at)) if (set.has(at)) return true;
  return false;
}

/** Parents stand before what is in them: a path is longer than its parent, which it begins with. */
function sortedPaths(...manifests: readonly EtcManifest[]): string[] {
  return [...new Set(manifests.flatMap((manifest) => [...manifest.keys()]))].sort(compareNames);
}

function mergeManifests(old: EtcManifest, fresh: EtcManifest, current: EtcManifest, same: Same): Map<string, EtcEntry> {
  const merged = new Map<string, EtcEntry>();
  const local: string[] = [];
  for (const path of sortedPaths(old, fresh, current)) {
    const here = current.get(path);
    const changed = !same(old.get(path), here);
    const entry = changed ? here : fresh.get(path);
    if (entry !== undefined) merged.set(path, entry);
    if (changed && here !== undefined) local.push(path);
  }
  // A kept path needs its directories, whatever the new defaults say.
  for (const path of local) {
    for (let at = parentOf(path); at !== undefined; at = parentOf(at)) {
      const here = current.get(at);
      if (merged.get(at)?.kind !== "dir" && here !== undefined) merged.set(at, here);
    }
  }
  // What is below anything but a directory cannot be: defaults below what was removed or replaced here.
  for (const path of [...merged.keys()].sort(compareNames)) {
    const parent = parentOf(path);
    if (parent !== undefined && merged.get(parent)?.kind !== "dir") merged.delete(path);
  }
  return merged;
}

function actionsBetween(from: EtcManifest, to: EtcManifest, same: Same): EtcAction[] {
  const removed = new Set<string>();
  const removals: EtcAction[] = [];
  const additions: EtcAction[] = [];
  for (const path of sortedPaths(from, to)) {
    const before = from.get(path);
    const entry = to.get(path);
    if (same(before, entry)) continue;
    const replaced =
      before !== undefined && (entry === undefined || (before.kind === "dir") !== (entry.kind === "dir"));
    if (replaced && !isBelow(path, removed)) {
      removed.add(path);
      removals.push({ action: "remove", path });
    }
    if (entry === undefined) continue;
    const action = entry.kind !== "dir" ? "copy" : before?.kind === "dir" ? "chattr" : "mkdir";
    additions.push({ action, path, entry });
  }
  return [...removals, ...additions];
}

function findConflicts(old: EtcManifest, fresh: EtcManifest, current: EtcManifest, same: Same): EtcConflict[] {
  const conflicts: EtcConflict[] = [];
  const told = new Set<string>();
  for (const path of sortedPaths(old, fresh, current)) {
    const reason = conflictAt(path, old, fresh, current, same);
    // One word for a whole directory that went.
    if (reason === undefined || (reason !== "both-changed" && isBelow(path, told))) continue;
    told.add(path);
    conflicts.push({ path, reason });
  }
  return conflicts;
}

function conflictAt(
  path: string,
  old: EtcManifest,
  fresh: EtcManifest,
  current: EtcManifest,
  same: Same,
): EtcConflict["reason"] | undefined {
  const before = old.get(path);
  const here = current.get(path);
  const there = fresh.get(path);
  if (same(here, there)) return undefined;
  const changedHere = !same(before, here);
  const changedThere = !same(before, there);
  if (here !== undefined && there !== undefined && (here.kind === "dir") !== (there.kind === "dir")) {
    const kept =
      changedHere ||
      [...current].some(([other, entry]) => other.startsWith(`${path}/`) && !same(old.get(other), entry));
    return kept && changedThere ? "type" : undefined;
  }
  if (!changedHere || !changedThere) return undefined;
  if (here === undefined) return "removed-here";
  return there === undefined ? "default-removed" : "both-changed";
}

function countChanges(old: EtcManifest, current: EtcManifest, same: Same): EtcMergePlan["changes"] {
  const counts = { modified: 0, removed: 0, added: 0 };
  const closed = new Set<string>();
  for (const path of sortedPaths(old, current)) {
    const before = old.get(path);
    const here = current.get(path);
    if (isBelow(path, closed) || same(before, here)) continue;
    if (before === undefined) counts.added++;
    else if (here === undefined) counts.removed++;
    else counts.modified++;
    // Upstream does not look below what was removed or changed its type.
    if (before !== undefined && before.kind !== here?.kind) closed.add(path);
  }
  return counts;
}
