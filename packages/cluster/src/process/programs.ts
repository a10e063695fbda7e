import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "@keelson/linux";

/** How the programs of a machine are started. */
export interface Programs {
  readonly etcd: readonly string[];
  readonly fleetd: readonly string[];
  /** Where Node keeps their compiled code for the next start (`NODE_COMPILE_CACHE`). Default: nowhere. */
  readonly compileCache?: string;
}

const APPS = ["etcd", "fleetd"] as const;
/** Node keeps compiled code when it exits, but machines are killed: the programs are made to keep it while they run. */
const FLUSH = 'setTimeout(() => require("node:module").flushCompileCache(), 2000).unref();\n';
const FLUSH_FILE = "flush-compile-cache.cjs";
/** Bundles of earlier sources that are kept: clusters may still run them. */
const KEPT_MS = 24 * 3600 * 1000;

/**
 * The apps of this repository as bundles, which start in a third of the CPU time that their sources take. They are made
 * anew when a source has changed, in a directory that is never written to again, so that running clusters keep theirs.
 * Where they cannot be made, the sources are run.
 */
export async function programsOfRepository(
  repository = fileURLToPath(new URL("../../../..", import.meta.url)),
): Promise<Programs> {
  const all = join(repository, "out/programs");
  const directory = join(all, await sourceHash(repository));
  if (!(await exists(directory))) {
    try {
      await bundle(repository, directory);
    } catch {
      const compileCache = join(repository, "out/compile-cache");
      return { etcd: fromSource(repository, "etcd"), fleetd: fromSource(repository, "fleetd"), compileCache };
    }
    await removeOld(all, directory);
  }
  const now = new Date();
  await utimes(directory, now, now).catch(() => {}); // says that it is in use; a read-only repository has no say
  const compileCache = join(directory, "compile-cache");
  return { etcd: fromBundle(directory, "etcd"), fleetd: fromBundle(directory, "fleetd"), compileCache };
}

const fromSource = (repository: string, app: string) => [process.execPath, join(repository, `apps/${app}/src/main.ts`)];
const fromBundle = (directory: string, app: string) => [
  process.execPath,
  `--require=${join(directory, FLUSH_FILE)}`,
  join(directory, app, `${app}.mjs`),
];

async function bundle(repository: string, directory: string): Promise<void> {
  await mkdir(dirname(directory), { recursive: true });
  const temporary = await mkdtemp(`${directory}.`);
  try {
    const script = join(repository, "scripts/bundle.ts");
    const results = await Promise.allSettled(
      APPS.map((app) => run([process.execPath, script, join(repository, "apps", app), join(temporary, app)])),
    );
    for (const result of results) if (result.status === "rejected") throw result.reason;
    await writeFile(join(temporary, FLUSH_FILE), FLUSH);
    await rename(temporary, directory).catch(async (error: unknown) => {
      if (!(await exists(directory))) throw error; // otherwise another process was faster
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Changes whenever a file changes that may be in a bundle; told by sizes and times, as make does. */
async function sourceHash(repository: string): Promise<string> {
  const packages = (await readdir(join(repository, "packages"))).map((name) => `packages/${name}`);
  const trees = [...packages, ...APPS.map((app) => `apps/${app}`)].toSorted();
  const hash = createHash("sha256");
  const lines = await Promise.all([
    ...trees.map(async (tree) => [
      await fileLine(repository, `${tree}/package.json`),
      ...(await treeLines(repository, `${tree}/src`)),
    ]),
    ...["pnpm-lock.yaml", "scripts/bundle.ts"].map(async (file) => [await fileLine(repository, file)]),
  ]);
  for (const line of lines.flat()) hash.update(line);
  return hash.update(process.version).digest("hex").slice(0, 16);
}

async function treeLines(repository: string, tree: string): Promise<string[]> {
  const entries = await readdir(join(repository, tree), { recursive: true }).catch(() => []);
  const files = entries.filter((name) => /\.[cm]?[jt]s$/.test(name) && !name.endsWith(".test.ts")).toSorted();
  return await Promise.all(files.map((name) => fileLine(repository, `${tree}/${name}`)));
}

async function fileLine(repository: string, path: string): Promise<string> {
  const found = await stat(join(repository, path)).catch(() => undefined);
  return found === undefined ? "" : `${path} ${found.size} ${found.mtimeMs}\n`;
}

async function removeOld(all: string, current: string): Promise<void> {
  for (const name of await readdir(all)) {
    const directory = join(all, name);
    const found = await stat(directory).catch(() => undefined);
    if (found === undefined || directory === current || Date.now() - found.mtimeMs < KEPT_MS) continue;
    await rm(directory, { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
