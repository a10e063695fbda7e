import { randomBytes } from "node:crypto";
import { lstat, mkdir, open, readdir, readFile, rename, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Makes what a directory holds durable. */
export async function syncDirectory(path: string): Promise<void> {
  await using handle = await open(path, "r");
  await handle.sync();
}

/** Writes a new file and makes its content durable; its name is so when its directory is synced. */
export async function writeNewFile(path: string, content: string, mode: number): Promise<void> {
  await using handle = await open(path, "wx", mode);
  await handle.chmod(mode); // whatever the umask says
  await handle.writeFile(content);
  await handle.sync();
}

/** Writes a file so that a crash leaves the old or the new one. */
export async function replaceFile(path: string, content: string, mode = 0o600): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString("hex")}.new`;
  try {
    await writeNewFile(temporary, content, mode);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Points a symbolic link somewhere, at once. */
export async function replaceLink(path: string, target: string): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString("hex")}.new`;
  await symlink(target, temporary);
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** Renames a directory and makes that durable. False when it is not there any more: somebody else was faster. */
export async function moveDirectory(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
  await syncDirectory(dirname(to));
  await syncDirectory(dirname(from));
  return true;
}

/** A file's text; undefined when there is none. At most `lengthMax` bytes are read: more is an error. */
export async function readText(path: string, lengthMax = 16 * 1024 * 1024): Promise<string | undefined> {
  try {
    const { size } = await lstat(path);
    if (size > lengthMax) throw new Error(`${path} is longer than ${lengthMax} bytes`);
    return await readFile(path, "utf8");
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** When a file was last written, in whole milliseconds; undefined when there is none. */
export async function modifiedAtMs(path: string): Promise<number | undefined> {
  try {
    return Math.floor((await lstat(path)).mtimeMs);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Names in a directory, sorted; none when it is not there. */
export async function namesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).toSorted();
  } catch (error) {
    if (isNotFound(error)) return [];
    throw error;
  }
}

/** Makes directories that are missing, below one that is there. */
export async function makeDirectories(root: string, paths: readonly string[], mode: number): Promise<void> {
  for (const path of paths) await mkdir(join(root, path), { recursive: true, mode });
}

/** Whether an error says that a file is not there. */
export function isNotFound(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

/** Whether an error says that a file is there already. */
export function isThere(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EEXIST" || error.code === "ENOTEMPTY");
}
