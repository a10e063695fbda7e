import { decodeCommit, decodeDirMeta, decodeDirTree } from "../core/decode.ts";
import { OstreeCorruptError, OstreeFormatError } from "../core/errors.ts";
import type { Checksum, Commit, DirMeta, DirTree, ObjectType } from "../core/objects.ts";
import { fair } from "./fair.ts";
import type { LooseObject, Repo } from "./port.ts";

type MetadataType = Exclude<ObjectType, "file" | "commitmeta">;

async function load<T>(
  repo: Repo,
  type: MetadataType,
  checksum: Checksum,
  decode: (bytes: Uint8Array) => T,
): Promise<T> {
  const bytes = await repo.readMetadata(type, checksum);
  try {
    return decode(bytes);
  } catch (cause) {
    if (!(cause instanceof OstreeFormatError)) throw cause;
    throw new OstreeCorruptError(`${type} object ${checksum} cannot be read`, { type, checksum }, { cause });
  }
}

/** A commit. @throws {OstreeNotFoundError | OstreeCorruptError} */
export async function loadCommit(repo: Repo, checksum: Checksum): Promise<Commit> {
  return await load(repo, "commit", checksum, decodeCommit);
}

/** A directory's entries. @throws {OstreeNotFoundError | OstreeCorruptError} */
export async function loadDirTree(repo: Repo, checksum: Checksum): Promise<DirTree> {
  return await load(repo, "dirtree", checksum, decodeDirTree);
}

/** A directory's owner and mode. @throws {OstreeNotFoundError | OstreeCorruptError} */
export async function loadDirMeta(repo: Repo, checksum: Checksum): Promise<DirMeta> {
  return await load(repo, "dirmeta", checksum, decodeDirMeta);
}

/**
 * All objects that a commit needs, itself first, each once. Files are not looked for. `seen` (keys `checksum.type`) may be
 * shared among walks: what is in it is left out, with all below it. With `missing` "skip" metadata that is not there is left
 * out, as in a partial commit.
 * @throws {OstreeNotFoundError | OstreeCorruptError}
 */
export async function* walkCommit(
  repo: Repo,
  commit: Checksum,
  seen: Set<string> = new Set(),
  missing: "fail" | "skip" = "fail",
): AsyncGenerator<LooseObject, void, undefined> {
  const fresh = (type: ObjectType, checksum: Checksum) => {
    const key = `${checksum}.${type}`;
    return !seen.has(key) && seen.add(key);
  };
  const absent = async (type: ObjectType, checksum: Checksum) =>
    missing === "skip" && !(await repo.has(type, checksum));
  if (!fresh("commit", commit) || (await absent("commit", commit))) return;
  yield { type: "commit", checksum: commit };
  const { rootTree, rootMeta } = await loadCommit(repo, commit);
  if (fresh("dirmeta", rootMeta)) yield { type: "dirmeta", checksum: rootMeta };
  const trees = [rootTree];
  for (let tree = trees.pop(); tree !== undefined; tree = trees.pop()) {
    if (!fresh("dirtree", tree) || (await absent("dirtree", tree))) continue;
    yield { type: "dirtree", checksum: tree };
    const turn = fair();
    if (turn !== undefined) await turn;
    const { files, dirs } = await loadDirTree(repo, tree);
    for (const [, file] of files) if (fresh("file", file)) yield { type: "file", checksum: file };
    for (const [, subtree, meta] of dirs) {
      if (fresh("dirmeta", meta)) yield { type: "dirmeta", checksum: meta };
      trees.push(subtree);
    }
  }
}
