import type { Checksum, DirTree } from "../core/objects.ts";
import { diffDirTrees } from "../core/tree-diff.ts";
import { loadCommit, loadDirTree } from "./load.ts";
import type { Repo } from "./port.ts";

/** One path that differs between two commits. */
export interface CommitDifference {
  /** Absolute in the tree. */
  readonly path: string;
  readonly kind: "file" | "dir";
  readonly change: "added" | "removed" | "modified";
  /** For files: the objects; for directories: their dirmetas. */
  readonly from?: Checksum;
  readonly to?: Checksum;
}

const EMPTY: DirTree = { files: [], dirs: [] };

/**
 * What differs from one commit to another, sorted by path. A path that is a file in one and a directory in the other is
 * removed and added. Equal subtrees are not read. With `from` undefined everything is added.
 */
export async function diffCommits(repo: Repo, from: Checksum | undefined, to: Checksum): Promise<CommitDifference[]> {
  const differences: CommitDifference[] = [];
  const a = from === undefined ? undefined : await loadCommit(repo, from);
  const b = await loadCommit(repo, to);
  if (a?.rootMeta !== b.rootMeta) {
    const change = a === undefined ? "added" : "modified";
    differences.push({ path: "/", kind: "dir", change, ...(a !== undefined && { from: a.rootMeta }), to: b.rootMeta });
  }
  await diffTrees(repo, a?.rootTree, b.rootTree, "", differences);
  return differences.sort((x, y) => (x.path < y.path ? -1 : x.path > y.path ? 1 : 0));
}

async function diffTrees(
  repo: Repo,
  from: Checksum | undefined,
  to: Checksum | undefined,
  prefix: string,
  out: CommitDifference[],
): Promise<void> {
  if (from === to) return;
  const a = from === undefined ? EMPTY : await loadDirTree(repo, from);
  const b = to === undefined ? EMPTY : await loadDirTree(repo, to);
  const { files, dirs } = diffDirTrees(a, b);
  for (const file of files) out.push({ ...difference(`${prefix}/${file.name}`, "file", file.from, file.to) });
  for (const dir of dirs) {
    const path = `${prefix}/${dir.name}`;
    if (dir.from?.meta !== dir.to?.meta) out.push(difference(path, "dir", dir.from?.meta, dir.to?.meta));
    await diffTrees(repo, dir.from?.tree, dir.to?.tree, path, out);
  }
}

function difference(
  path: string,
  kind: "file" | "dir",
  from: Checksum | undefined,
  to: Checksum | undefined,
): CommitDifference {
  const change = from === undefined ? "added" : to === undefined ? "removed" : "modified";
  return { path, kind, change, ...(from !== undefined && { from }), ...(to !== undefined && { to }) };
}
