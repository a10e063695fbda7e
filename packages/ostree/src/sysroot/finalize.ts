import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fsyncPath, syncFiles } from "../repo/durable.ts";
import { copyTree } from "./copy-tree.ts";
import { type EtcMergeReport, mergeEtc } from "./etc-merge.ts";
import { initVar } from "./init-var.ts";
import { type SysrootPaths, TEMPORARY } from "./layout.ts";
import type { FoundDeployment } from "./list.ts";

/** What {@link finalizeDeployment} did to a deployment. */
export interface FinalizeReport {
  /** Undefined when there was no deployment to take changes from. */
  readonly etc: EtcMergeReport | undefined;
  /** The shared `/var` was empty and was filled from the deployment's. */
  readonly varFilled: boolean;
}

/** How often the running system may change `/etc` under the merge's hands. */
const ATTEMPTS_MAX = 5;

/**
 * Makes a staged deployment bootable: its `/etc` is the new defaults with the local changes of `mergeFrom` carried over. All
 * is made beside it and durable before the last step, a rename; until then it is staged, and the work can be repeated.
 */
export async function finalizeDeployment(
  paths: SysrootPaths,
  deployment: FoundDeployment,
  mergeFrom: FoundDeployment | undefined,
): Promise<FinalizeReport> {
  const temporary = join(paths.deploy, `${TEMPORARY.etc}${deployment.id}`);
  try {
    const etc = await prepareEtc(temporary, deployment, mergeFrom);
    const varFilled = await initVar(paths, deployment.path);
    await rename(temporary, join(deployment.path, "etc"));
    await fsyncPath(deployment.path);
    await fsyncPath(paths.deploy);
    return { etc, varFilled };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

async function prepareEtc(
  temporary: string,
  deployment: FoundDeployment,
  mergeFrom: FoundDeployment | undefined,
): Promise<EtcMergeReport | undefined> {
  const defaults = join(deployment.path, "usr/etc");
  for (let attempt = 1; ; attempt++) {
    await rm(temporary, { recursive: true, force: true });
    try {
      const made = existsSync(defaults) ? await copyTree(defaults, temporary) : await makeEmpty(temporary);
      const etc =
        mergeFrom === undefined
          ? undefined
          : await mergeEtc({ from: mergeFrom.path, defaults, target: temporary, made });
      await syncFiles(
        temporary,
        made.filter((path) => existsSync(path)),
      );
      return etc;
    } catch (error) {
      // A file that was there when it was looked at: somebody writes to the running /etc. Look again.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || attempt >= ATTEMPTS_MAX) throw error;
    }
  }
}

async function makeEmpty(path: string): Promise<string[]> {
  await mkdir(path, { mode: 0o755 });
  return [path];
}
