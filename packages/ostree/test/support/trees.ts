import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** A tree to be written: path to text or bytes, `-> target` for a symlink, `/` for a directory; `[content, mode]` with a mode. */
export type TreeSpec = Readonly<Record<string, string | Uint8Array | readonly [string | Uint8Array, number]>>;

/** Writes a tree. Existing files are replaced. */
export async function writeTree(dir: string, spec: TreeSpec): Promise<void> {
  await mkdir(dir, { recursive: true });
  for (const [name, entry] of Object.entries(spec)) {
    const path = join(dir, name);
    const [content, mode] = Array.isArray(entry)
      ? (entry as [string | Uint8Array, number])
      : [entry as string | Uint8Array];
    if (content === "/") await mkdir(path, { recursive: true });
    else {
      await mkdir(dirname(path), { recursive: true });
      if (typeof content === "string" && content.startsWith("-> ")) await symlink(content.slice(3), path);
      else await writeFile(path, content);
    }
    if (mode !== undefined) await chmod(path, mode);
  }
}

/** One line for each entry of a tree, sorted: kind, mode, owner, path, content (its start) or target. */
export async function listTree(
  dir: string,
  options: { readonly links?: boolean; readonly skip?: readonly string[] } = {},
): Promise<string[]> {
  const lines: string[] = [];
  await list(dir, "", lines, options);
  return lines.sort();
}

async function list(
  dir: string,
  below: string,
  lines: string[],
  options: { readonly links?: boolean; readonly skip?: readonly string[] },
): Promise<void> {
  for (const name of (await readdir(join(dir, below))).sort()) {
    const shown = `${below}/${name}`;
    if (options.skip?.includes(shown) === true) continue;
    const path = join(dir, shown);
    const stat = await lstat(path);
    const owner = `${(stat.mode & 0o7777).toString(8)} ${stat.uid}:${stat.gid}${options.links === true ? ` ${stat.nlink}` : ""}`;
    if (stat.isDirectory()) {
      lines.push(`${shown}/ ${owner}`);
      await list(dir, shown, lines, options);
    } else if (stat.isSymbolicLink()) lines.push(`${shown} -> ${await readlink(path)} ${stat.uid}:${stat.gid}`);
    else if (stat.isFile())
      lines.push(`${shown} ${owner} ${stat.size} ${(await readFile(path)).toString("latin1").slice(0, 200)}`);
    else lines.push(`${shown} special`);
  }
}
