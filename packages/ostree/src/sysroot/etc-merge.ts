import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import { chmod, chown, lstat, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type EtcAction, type EtcConflict, type EtcEntry, type EtcManifest, planEtcMerge } from "../core/etc-merge.ts";
import { fair } from "../repo/fair.ts";
import { readXattrs, writeXattrs } from "../repo/native.ts";
import { copyLeaf } from "./copy-tree.ts";

/** What {@link mergeEtc} works on. */
export interface EtcMergeInput {
  /** The deployment whose local changes are carried over. */
  readonly from: string;
  /** `/usr/etc` of the new deployment. */
  readonly defaults: string;
  /** A copy of `defaults`, which becomes the merged `/etc`. */
  readonly target: string;
  /** Files and directories that were made, to be synced; appended to. */
  readonly made: string[];
}

/** What was carried over. */
export interface EtcMergeReport {
  /** Local changes, counted as upstream prints them. */
  readonly changes: { readonly modified: number; readonly removed: number; readonly added: number };
  /** Where the new defaults changed too: the local version was kept. */
  readonly conflicts: readonly EtcConflict[];
}

/** Carries the local changes of a deployment's `/etc` over to a copy of the new defaults. */
export async function mergeEtc({ from, defaults, target, made }: EtcMergeInput): Promise<EtcMergeReport> {
  const current = join(from, "etc");
  const plan = planEtcMerge(
    await readManifest(join(from, "usr/etc")),
    await readManifest(defaults),
    await readManifest(current),
  );
  for (const action of plan.actions) await carryOut(action, current, target, made);
  return { changes: plan.changes, conflicts: plan.conflicts };
}

async function carryOut(step: EtcAction, current: string, target: string, made: string[]): Promise<void> {
  const to = join(target, step.path);
  if (step.action === "remove") {
    await rm(to, { recursive: true, force: true });
    return;
  }
  if (step.action === "copy") {
    const from = join(current, step.path);
    await rm(to, { force: true });
    await copyLeaf(from, to, await lstat(from), made);
    return;
  }
  const { uid, gid, mode, xattrs = [] } = step.entry;
  if (step.action === "mkdir") await mkdir(to, { mode: 0o700 });
  await chown(to, uid, gid);
  await chmod(to, mode & 0o7777);
  if (xattrs.length > 0) writeXattrs(to, xattrs);
  made.push(to);
}

/** Reads an `/etc` (or its defaults) for {@link planEtcMerge}. Sockets, pipes and devices are left out; none at all is empty. */
export async function readManifest(dir: string): Promise<EtcManifest> {
  const manifest = new Map<string, EtcEntry>();
  if (lstatSync(dir, { throwIfNoEntry: false })?.isDirectory() === true) await readInto(manifest, dir, "");
  return manifest;
}

async function readInto(manifest: Map<string, EtcEntry>, dir: string, below: string): Promise<void> {
  for (const name of readdirSync(join(dir, below))) {
    await fair();
    const path = below === "" ? name : `${below}/${name}`;
    const full = join(dir, path);
    const stat = lstatSync(full, { throwIfNoEntry: false });
    const entry = stat === undefined ? undefined : entryOf(full, stat);
    if (entry === undefined) continue;
    manifest.set(path, entry);
    if (entry.kind === "dir") await readInto(manifest, dir, path);
  }
}

function entryOf(path: string, stat: Stats): EtcEntry | undefined {
  const { uid, gid } = stat;
  const xattrs = process.platform === "linux" ? readXattrs(path) : [];
  const attributes = { uid, gid, mode: stat.mode & 0o7777, ...(xattrs.length > 0 && { xattrs }) };
  if (stat.isDirectory()) return { kind: "dir", ...attributes };
  if (stat.isSymbolicLink()) return { kind: "symlink", target: readlinkSync(path), ...attributes };
  if (!stat.isFile()) return undefined;
  return { kind: "file", content: createHash("sha256").update(readFileSync(path)).digest("hex"), ...attributes };
}
