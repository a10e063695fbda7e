import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fsyncPath } from "../repo/durable.ts";
import { type SysrootPaths, TEMPORARY } from "./layout.ts";

/**
 * Removes a deployment's files. It is gone with the first step, a rename; a crash after that leaves a name that
 * {@link removeLeftovers} removes.
 */
export async function removeDeployment(paths: SysrootPaths, id: string): Promise<void> {
  const doomed = join(paths.deploy, `${TEMPORARY.remove}${id}`);
  await rm(doomed, { recursive: true, force: true });
  await rename(join(paths.deploy, id), doomed);
  await fsyncPath(paths.deploy);
  await rm(join(paths.deploy, `${id}.origin`), { force: true });
  await rm(doomed, { recursive: true, force: true });
  await fsyncPath(paths.deploy);
}

/**
 * Removes what work that was cut off has left: temporary names, directories without an origin file and origin files without
 * a directory. Only for who holds the sysroot's lock.
 */
export async function removeLeftovers(paths: SysrootPaths, isDeployed: (id: string) => boolean): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await readdir(paths.deploy)) {
    const id = name.endsWith(".origin") ? name.slice(0, -".origin".length) : name;
    if (isDeployed(id)) continue;
    await rm(join(paths.deploy, name), { recursive: true, force: true });
    removed.push(name);
  }
  for (const name of await readdir(paths.state)) {
    if (!name.startsWith(TEMPORARY.var)) continue;
    await rm(join(paths.state, name), { recursive: true, force: true });
    removed.push(name);
  }
  if (removed.length > 0) await fsyncPath(paths.deploy);
  return removed;
}
