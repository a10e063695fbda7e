import {
  type CommitDifference,
  diffCommits,
  loadCommit,
  loadDirTree,
  metadataString,
  type Repo,
} from "@keelson/ostree";
import { ImageBuildError } from "./errors.ts";
import { compareLock, type LockChange, type PackageLock, parseLock } from "./lock.ts";

/** What differs between two versions. */
export interface ImageDifference {
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly packages: readonly LockChange[];
  readonly files: readonly FileDifference[];
}

export interface FileDifference {
  readonly path: string;
  readonly change: "added" | "removed" | "modified";
  /** Bytes before and after; 0 where there is none. */
  readonly fromBytes: number;
  readonly toBytes: number;
}

const PACKAGES_PATH = ["usr", "share", "keelson", "packages.json"];

/** Compares two commits of a repository, by checksum or ref. */
export async function diffImages(repo: Repo, a: string, b: string): Promise<ImageDifference> {
  const [from, to] = await Promise.all([resolveCommit(repo, a), resolveCommit(repo, b)]);
  const changed = (await diffCommits(repo, from, to)).filter(({ kind }) => kind === "file");
  const files: FileDifference[] = [];
  for (const { path, change, from: old, to: now } of changed as readonly CommitDifference[]) {
    files.push({ path, change, fromBytes: await sizeOf(repo, old), toBytes: await sizeOf(repo, now) });
  }
  const [locked, got] = [await packagesOf(repo, from), await packagesOf(repo, to)];
  const packages = locked === undefined || got === undefined ? [] : compareLock(locked, got);
  return { from: await versionOf(repo, from), to: await versionOf(repo, to), packages, files };
}

async function resolveCommit(repo: Repo, name: string): Promise<string> {
  const checksum = await repo.resolve(name);
  if (checksum !== undefined && (await repo.has("commit", checksum))) return checksum;
  throw new ImageBuildError(`${repo.path} has no commit or branch ${name}`, { name });
}

async function sizeOf(repo: Repo, checksum: string | undefined): Promise<number> {
  return checksum === undefined ? 0 : (await repo.readFile(checksum)).size;
}

async function versionOf(repo: Repo, commit: string): Promise<string | undefined> {
  return metadataString((await loadCommit(repo, commit)).metadata, "version");
}

/** The packages that a commit says it is made of. */
async function packagesOf(repo: Repo, commit: string): Promise<PackageLock | undefined> {
  let tree = await loadDirTree(repo, (await loadCommit(repo, commit)).rootTree);
  for (const name of PACKAGES_PATH.slice(0, -1)) {
    const next = tree.dirs.find(([dir]) => dir === name);
    if (next === undefined) return undefined;
    tree = await loadDirTree(repo, next[1]);
  }
  const file = tree.files.find(([name]) => name === PACKAGES_PATH.at(-1));
  if (file === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await repo.readFile(file[1])).content()) chunks.push(chunk);
  return parseLock(Buffer.concat(chunks).toString("utf8"), `packages.json of commit ${commit}`);
}
