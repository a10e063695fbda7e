import { z } from "zod";
import { PackageLockError } from "./errors.ts";

/** One package as the mirror gave it. */
export interface LockedPackage {
  readonly version: string;
  /** Of the .deb file; lower-case hex. */
  readonly sha256: string;
}

/** `image/packages.lock.json`: every package of a build, by name. */
export interface PackageLock {
  readonly suite: string;
  readonly architecture: string;
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

const lockSchema = z.strictObject({
  suite: z.string(),
  architecture: z.string(),
  packages: z.record(
    z.string(),
    z.strictObject({ version: z.string().min(1), sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  ),
});

/** Parses a lock file. @throws {PackageLockError} naming the fault. Pure. */
export function parseLock(text: string, path: string): PackageLock {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new PackageLockError(`${path} is not JSON: delete it, or restore it from git`, {}, { cause });
  }
  const parsed = lockSchema.safeParse(json);
  if (!parsed.success) throw new PackageLockError(`${path}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** The text of a lock file: sorted by name, so that a diff shows what moved. Pure. */
export function formatLock(lock: PackageLock): string {
  const packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return `${JSON.stringify({ suite: lock.suite, architecture: lock.architecture, packages }, null, 2)}\n`;
}

/** One difference between a lock and what a build got. */
export type LockChange =
  | { readonly kind: "added"; readonly name: string; readonly version: string }
  | { readonly kind: "removed"; readonly name: string; readonly version: string }
  | { readonly kind: "changed"; readonly name: string; readonly from: string; readonly to: string }
  | { readonly kind: "rebuilt"; readonly name: string; readonly version: string };

/** What differs, sorted by name. `rebuilt` is the same version with other bytes, which an honest mirror never has. Pure. */
export function compareLock(locked: PackageLock, got: PackageLock): LockChange[] {
  const names = new Set([...Object.keys(locked.packages), ...Object.keys(got.packages)]);
  return [...names].toSorted().flatMap((name): LockChange[] => {
    const before = locked.packages[name];
    const after = got.packages[name];
    if (before === undefined) return after === undefined ? [] : [{ kind: "added", name, version: after.version }];
    if (after === undefined) return [{ kind: "removed", name, version: before.version }];
    if (before.version !== after.version) return [{ kind: "changed", name, from: before.version, to: after.version }];
    return before.sha256 === after.sha256 ? [] : [{ kind: "rebuilt", name, version: after.version }];
  });
}

/** One change for people. Pure. */
export function describeChange(change: LockChange): string {
  switch (change.kind) {
    case "added":
      return `${change.name} ${change.version} is new`;
    case "removed":
      return `${change.name} ${change.version} is no longer needed`;
    case "changed":
      return `${change.name}: locked ${change.from}, the mirror has ${change.to}`;
    case "rebuilt":
      return `${change.name} ${change.version} has other bytes than locked`;
  }
}

/**
 * Decides about the changes: returns what to warn of.
 * @throws {PackageLockError} for other bytes under one version, always; for any change when `frozen`.
 */
export function judgeChanges(changes: readonly LockChange[], options: { frozen: boolean }): string[] {
  const texts = changes.map(describeChange);
  const rebuilt = changes.filter((change) => change.kind === "rebuilt");
  if (rebuilt.length > 0) {
    throw new PackageLockError(
      `the mirror's packages are not those of image/packages.lock.json: ${rebuilt.map(describeChange).join("; ")}. ` +
        "Check the mirror; if the change is meant: osctl build --update-lock",
    );
  }
  if (options.frozen && changes.length > 0) {
    throw new PackageLockError(
      `the mirror no longer has the locked packages (--frozen): ${texts.join("; ")}. ` +
        "Use a snapshot mirror (--mirror, --snapshot), or accept them: osctl build --update-lock",
    );
  }
  return texts;
}

/** apt preferences that prefer the locked versions over newer ones where the mirror still has them. Pure. */
export function pinPreferences(lock: PackageLock): string {
  return Object.entries(lock.packages)
    .map(([name, { version }]) => `Package: ${name}\nPin: version ${version}\nPin-Priority: 1001\n`)
    .join("\n");
}

/** Reads `apt-cache show` output: name → version → SHA-256 of the .deb. Pure. */
export function parseAptShow(text: string): Map<string, LockedPackage> {
  const packages = new Map<string, LockedPackage>();
  for (const stanza of text.split(/\n\s*\n/)) {
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(stanza)?.[1];
    const [name, version, sha256] = [field("Package"), field("Version"), field("SHA256")];
    if (name !== undefined && version !== undefined && sha256 !== undefined)
      packages.set(`${name}=${version}`, { version, sha256 });
  }
  return packages;
}
