import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { bootPathOf, type Deployment, parseDeploymentId, STATEROOT } from "./deployment.ts";
import type { SysrootPaths } from "./layout.ts";
import { type OriginFile, parseOrigin } from "./origin.ts";

/** A deployment as the disk shows it, before its commit is looked at. */
export type FoundDeployment = Omit<Deployment, "version">;

/**
 * Reads what is deployed: directories that have an origin file. Newest first. A directory without an origin file is one
 * whose removal was cut off.
 */
export function listDeployments(paths: SysrootPaths, bootedId: string | undefined): FoundDeployment[] {
  const found: FoundDeployment[] = [];
  for (const name of readdirSync(paths.deploy)) {
    const id = parseDeploymentId(name);
    if (id === undefined) continue;
    const path = join(paths.deploy, name);
    const originPath = `${path}.origin`;
    const origin = readOrigin(originPath);
    if (origin === undefined || !statSync(path).isDirectory()) continue;
    found.push({
      id: name,
      stateroot: STATEROOT,
      ...id,
      path,
      bootPath: bootPathOf(name),
      ...origin,
      staged: !existsSync(join(path, "etc")),
      booted: name === bootedId,
    });
  }
  return found.toSorted((a, b) => b.sequence - a.sequence || (a.id < b.id ? 1 : -1));
}

function readOrigin(path: string): OriginFile | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return parseOrigin(text, path);
  } catch {
    // One bad file must not stop updates. Until it is written anew, nothing removes that deployment on its own.
    return { origin: {}, kernelArgs: [], pinned: true, sequence: 0 };
  }
}
