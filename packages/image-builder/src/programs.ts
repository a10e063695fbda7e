import { copyFile, mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { keyOf } from "./definition.ts";
import { ImageBuildError } from "./errors.ts";
import type { Progress } from "./progress.ts";
import { run } from "./run.ts";

/** The apps whose programs go into an image, if the repository has them. `keelson` is for the operator's machine. */
export const IMAGE_APPS = [
  "etcd",
  "etcdctl",
  "etcdutl",
  "fleetd",
  "fleetctl",
  "locksmithctl",
  "osctl",
  "rkt",
  "updated",
] as const;

/** Strips the workspace's Node once per binary, and keeps it in the cache. Returns its path and version. */
export async function buildNode(
  repository: string,
  cacheDir: string,
  progress: Progress,
): Promise<{ path: string; version: string }> {
  const source = join(repository, "node_modules/node/bin/node");
  const info = await stat(source).catch((cause: unknown) => {
    throw new ImageBuildError(`no Node for the image at ${source}: run pnpm install`, {}, { cause });
  });
  const version = (await run(source, ["--version"])).trim();
  const path = join(cacheDir, `node-${keyOf(version, info.size, "strip")}`);
  if ((await stat(path).catch(() => undefined)) !== undefined) return { path, version };
  progress.step(`strip Node ${version}`);
  await mkdir(cacheDir, { recursive: true });
  const temporary = `${path}.${process.pid}`;
  await copyFile(source, temporary);
  await run("strip", [temporary]);
  await rename(temporary, path);
  return { path, version };
}

/** A program of the image: its bundle and what lies beside it. */
export interface ProgramBundle {
  readonly name: string;
  readonly file: string;
  readonly bytes: number;
}

export interface Programs {
  readonly bundles: readonly ProgramBundle[];
  /** Folders to copy beside the bundles (native prebuilds). */
  readonly prebuilds: readonly string[];
}

/**
 * Bundles the apps that exist. Each run bundles anew: esbuild takes well under a second per app, less than finding
 * out whether anything it imports has changed. The result is copied out of the apps' own `dist`, which anybody
 * may rewrite.
 */
export async function bundlePrograms(repository: string, workDir: string, progress: Progress): Promise<Programs> {
  const bundles: ProgramBundle[] = [];
  const prebuilds: string[] = [];
  for (const app of IMAGE_APPS) {
    const appDir = join(repository, "apps", app);
    const packageJson = await readFile(join(appDir, "package.json"), "utf8").catch(() => undefined);
    if (packageJson === undefined) continue;
    const bin = (JSON.parse(packageJson) as { bin?: Record<string, string> }).bin ?? {};
    const entries = Object.values(bin).map((file) => join(appDir, file));
    const missing = await Promise.all(
      entries.map(async (file) => (await stat(file).catch(() => undefined)) === undefined),
    );
    if (missing.includes(true)) {
      progress.warn(`${app} is left out: its package.json names a program that is not there yet`);
      continue;
    }
    const out = join(workDir, app);
    progress.detail(`bundle ${app}`);
    await run(process.execPath, [join(repository, "scripts/bundle.ts"), appDir, out]);
    for (const name of Object.keys(bin)) {
      const file = join(out, `${name}.mjs`);
      bundles.push({ name, file, bytes: (await stat(file)).size });
    }
    if ((await readdir(out)).includes("prebuilds")) prebuilds.push(join(out, "prebuilds"));
  }
  if (bundles.length === 0) throw new ImageBuildError(`no apps to bundle in ${join(repository, "apps")}`);
  return { bundles, prebuilds };
}

/** Removes a folder and all in it. */
export async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}
