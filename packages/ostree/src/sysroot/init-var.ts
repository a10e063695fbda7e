import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fsyncPath, syncFiles } from "../repo/durable.ts";
import { copyTree } from "./copy-tree.ts";
import { type SysrootPaths, TEMPORARY } from "./layout.ts";

/**
 * Fills the shared `/var` from a deployment's, once: when it is empty. Later deployments never change it. A crash leaves it
 * empty or whole. True when it was filled.
 */
export async function initVar(paths: SysrootPaths, deploymentPath: string): Promise<boolean> {
  const source = join(deploymentPath, "var");
  if ((await readdir(paths.var)).length > 0 || !(await hasEntries(source))) return false;
  const temporary = join(paths.state, `${TEMPORARY.var}new`);
  await rm(temporary, { recursive: true, force: true });
  const made = await copyTree(source, temporary);
  await syncFiles(temporary, made);
  // Replaces an empty directory in one step; fails when somebody has put something into it meanwhile.
  await rename(temporary, paths.var);
  await fsyncPath(paths.state);
  return true;
}

async function hasEntries(path: string): Promise<boolean> {
  try {
    return (await readdir(path)).length > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || (error as NodeJS.ErrnoException).code === "ENOTDIR")
      return false;
    throw error;
  }
}
