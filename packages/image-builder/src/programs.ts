import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from "node:fs/promises";
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
  readonly directory: string;
  readonly bundles: readonly ProgramBundle[];
  /** Folders to copy beside the bundles (native prebuilds). */
  readonly prebuilds: readonly string[];
}

/** Bundles of so many states of the source are kept. */
const KEPT_BUNDLES = 4;

/**
 * Bundles the apps that exist, or takes the bundles of the same source from the cache: the same in names, sizes and times of
 * all files that could go in. The result is copied out of the apps' own `dist`, which anybody may rewrite.
 */
export async function bundlePrograms(repository: string, cacheDir: string, progress: Progress): Promise<Programs> {
  const directory = join(cacheDir, `bundles-${await sourceKey(repository)}`);
  if ((await stat(directory).catch(() => undefined)) === undefined) {
    await mkdir(cacheDir, { recursive: true });
    const work = await mkdtemp(`${directory}.work-`);
    try {
      await bundleApps(repository, work, progress);
      // Another build of the same source may have been quicker.
      await rename(work, directory).catch(() => removeTree(work));
    } catch (error) {
      await removeTree(work);
      throw error;
    }
    await removeOldBundles(cacheDir);
  }
  return await readBundles(directory);
}

async function bundleApps(repository: string, work: string, progress: Progress): Promise<void> {
  let count = 0;
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
    progress.detail(`bundle ${app}`);
    await run(process.execPath, [join(repository, "scripts/bundle.ts"), appDir, join(work, app)]);
    count++;
  }
  if (count === 0) throw new ImageBuildError(`no apps to bundle in ${join(repository, "apps")}`);
}

async function readBundles(directory: string): Promise<Programs> {
  const bundles: ProgramBundle[] = [];
  const prebuilds: string[] = [];
  for (const app of (await readdir(directory)).toSorted()) {
    for (const name of (await readdir(join(directory, app))).toSorted()) {
      const file = join(directory, app, name);
      if (name.endsWith(".mjs")) bundles.push({ name: name.slice(0, -4), file, bytes: (await stat(file)).size });
      if (name === "prebuilds") prebuilds.push(file);
    }
  }
  return { directory, bundles, prebuilds };
}

/** Of everything that a bundle may hold. */
async function sourceKey(repository: string): Promise<string> {
  const facts: unknown[] = [];
  const look = async (path: string) => {
    const info = await stat(path).catch(() => undefined);
    if (info?.isFile()) facts.push([path, info.size, info.mtimeMs]);
  };
  for (const group of ["apps", "packages"]) {
    for (const name of (await readdir(join(repository, group))).toSorted()) {
      const directory = join(repository, group, name);
      await look(join(directory, "package.json"));
      const files = await readdir(join(directory, "src"), { recursive: true }).catch(() => []);
      for (const file of files.toSorted((a, b) => (a < b ? -1 : 1))) await look(join(directory, "src", file));
    }
  }
  for (const file of ["scripts/bundle.ts", "pnpm-lock.yaml", "node_modules/node/bin/node"])
    await look(join(repository, file));
  return keyOf(facts);
}

async function removeOldBundles(cacheDir: string): Promise<void> {
  const names = (await readdir(cacheDir)).filter((name) => /^bundles-[0-9a-f]+$/.test(name));
  const aged = await Promise.all(names.map(async (name) => ({ name, ms: (await stat(join(cacheDir, name))).mtimeMs })));
  for (const { name } of aged.toSorted((a, b) => b.ms - a.ms).slice(KEPT_BUNDLES))
    await removeTree(join(cacheDir, name));
}

/** Removes a folder and all in it. */
export async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}
