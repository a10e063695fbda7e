import { rmSync } from "node:fs";
import { decodeCommit, decodeDirTree } from "../core/decode.ts";
import { OstreeCorruptError, OstreeFormatError, OstreeNotFoundError } from "../core/errors.ts";
import type { Checksum, ObjectType } from "../core/objects.ts";
import { fair } from "../repo/fair.ts";
import type { Repo } from "../repo/port.ts";

/**
 * Reads all objects of a commit and removes from the repository those that are damaged, so that the next pull fetches them anew;
 * until then the commit counts as partial. Deployments keep their own links. Returns how many were removed or missing.
 */
export async function dropDamaged(repo: Repo, commit: Checksum): Promise<number> {
  await using tx = await repo.transaction();
  const seen = new Set<string>();
  const waiting: [type: Exclude<ObjectType, "commitmeta">, checksum: Checksum][] = [["commit", commit]];
  let dropped = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [type, checksum] = next;
    if (seen.has(`${type} ${checksum}`)) continue;
    seen.add(`${type} ${checksum}`);
    await fair();
    try {
      waiting.push(...(await readObject(repo, type, checksum)));
    } catch (error) {
      if (!isDamage(error)) throw error;
      // The mark is there before anything is removed: without it the commit would look whole.
      if (dropped++ === 0) await tx.setPartial(commit, true);
      rmSync(repo.objectPath(type, checksum), { force: true });
    }
  }
  await tx.commit();
  return dropped;
}

function isDamage(error: unknown): boolean {
  return (
    error instanceof OstreeCorruptError || error instanceof OstreeNotFoundError || error instanceof OstreeFormatError
  );
}

/** Reads an object to its end, which verifies it. Returns what it names. */
async function readObject(
  repo: Repo,
  type: Exclude<ObjectType, "commitmeta">,
  checksum: Checksum,
): Promise<[Exclude<ObjectType, "commitmeta">, Checksum][]> {
  if (type === "file") {
    const file = await repo.readFile(checksum);
    for await (const _chunk of file.content()) await fair();
    return [];
  }
  const bytes = await repo.readMetadata(type, checksum);
  if (type === "commit") {
    const { rootTree, rootMeta } = decodeCommit(bytes);
    return [
      ["dirtree", rootTree],
      ["dirmeta", rootMeta],
    ];
  }
  if (type === "dirmeta") return [];
  const { files, dirs } = decodeDirTree(bytes);
  return [
    ...files.map(([, file]): ["file", Checksum] => ["file", file]),
    ...dirs.map(([, tree]): ["dirtree", Checksum] => ["dirtree", tree]),
    ...dirs.map(([, , meta]): ["dirmeta", Checksum] => ["dirmeta", meta]),
  ];
}
