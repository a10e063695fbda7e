import { constants, type Stats } from "node:fs";
import {
  chmod,
  chown,
  copyFile,
  lchown,
  lstat,
  lutimes,
  mkdir,
  readdir,
  readlink,
  symlink,
  utimes,
} from "node:fs/promises";
import { join } from "node:path";
import { readXattrs, writeXattrs } from "../repo/native.ts";
import { OstreeSysrootError } from "./errors.ts";

/**
 * Copies a tree with owners, modes, times and extended attributes. `to` must not exist, its parent must. Nothing is synced:
 * the files and directories that were made are returned for that.
 *
 * @throws OstreeSysrootError something that is neither file, symlink nor directory
 */
export async function copyTree(from: string, to: string): Promise<string[]> {
  const made: string[] = [];
  await copyEntry(from, to, await lstat(from), made);
  return made;
}

async function copyEntry(from: string, to: string, stat: Stats, made: string[]): Promise<void> {
  if (stat.isDirectory()) {
    await makeDirectoryLike(from, to, stat, made);
    for (const name of await readdir(from)) {
      const child = join(from, name);
      await copyEntry(child, join(to, name), await lstat(child), made);
    }
    await utimes(to, stat.atime, stat.mtime);
  } else {
    await copyLeaf(from, to, stat, made);
  }
}

/** Makes a directory with the owner, mode and attributes of another, without what is in it. */
export async function makeDirectoryLike(from: string, to: string, stat: Stats, made: string[]): Promise<void> {
  await mkdir(to, { mode: 0o700 });
  await chown(to, stat.uid, stat.gid);
  await chmod(to, stat.mode & 0o7777);
  copyXattrs(from, to);
  made.push(to);
}

/** Copies one file or symlink. `to` must not exist. */
export async function copyLeaf(from: string, to: string, stat: Stats, made: string[]): Promise<void> {
  if (stat.isSymbolicLink()) {
    await symlink(await readlink(from), to);
    await lchown(to, stat.uid, stat.gid);
    await lutimes(to, stat.atime, stat.mtime);
    return;
  }
  if (!stat.isFile()) {
    throw new OstreeSysrootError(
      `${from} is neither a file, a symlink nor a directory and cannot be copied; remove it`,
      {
        path: from,
      },
    );
  }
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await chown(to, stat.uid, stat.gid);
  // After the owner, since a change of it clears the setuid bit.
  await chmod(to, stat.mode & 0o7777);
  copyXattrs(from, to);
  await utimes(to, stat.atime, stat.mtime);
  made.push(to);
}

function copyXattrs(from: string, to: string): void {
  if (process.platform === "linux") writeXattrs(to, readXattrs(from));
}
