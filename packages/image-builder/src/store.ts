import { randomBytes } from "node:crypto";
import { lstat, mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { isLive, readProcessStat } from "@keelson/linux";
import { ImageBuildError } from "./errors.ts";

/**
 * Built images are folders of their own; the output is a link to the newest. So a build never changes what a running
 * VM or container has as its base. Old ones go when nobody has them pinned.
 */
export function storeOf(output: string): string {
  return join(dirname(output), `.${basename(output)}-store`);
}

/** Makes `output` point to the finished `image`, in one step. */
export async function publish(image: string, output: string): Promise<void> {
  const stat = await lstat(output).catch(() => undefined);
  if (stat !== undefined && !stat.isSymbolicLink()) {
    throw new ImageBuildError(
      `${output} is in the way: the output of osctl build is a link; remove it or name another`,
    );
  }
  const link = `${output}.${process.pid}`;
  await rm(link, { force: true });
  await symlink(join(basename(storeOf(output)), basename(image)), link);
  await rename(link, output);
  await removeUnused(output);
}

/** Removes images that are neither the newest nor pinned by a living process, and what crashed builds left. */
async function removeUnused(output: string): Promise<void> {
  const store = storeOf(output);
  const current = basename(await readlink(output));
  for (const name of await readdir(store)) {
    const image = join(store, name);
    if (name === current || (await usersOf(image)).some(isAlive)) continue;
    const builder = /\.work-(\d+)$/.exec(name)?.[1];
    if (builder !== undefined && isAlive(Number(builder))) continue;
    await rm(image, { recursive: true, force: true });
  }
}

async function usersOf(image: string): Promise<number[]> {
  const names = await readdir(join(image, "users")).catch(() => []);
  return names.map((name) => Number.parseInt(name, 10));
}

function isAlive(pid: number): boolean {
  const stat = readProcessStat(pid);
  return stat !== undefined && isLive(stat);
}

/** An image that stays as it is while it is held. */
export interface PinnedImage extends AsyncDisposable {
  /** The folder itself, not the link. */
  readonly directory: string;
}

/** Holds the image that `output` points to now. @throws {ImageBuildError} when there is none */
export async function pinImage(output: string): Promise<PinnedImage> {
  const target = await readlink(output).catch((cause: unknown) => {
    throw new ImageBuildError(`no image in ${output}: run osctl build`, {}, { cause });
  });
  const directory = resolve(dirname(output), target);
  const user = join(directory, "users", `${process.pid}-${randomBytes(4).toString("hex")}`);
  await mkdir(dirname(user), { recursive: true });
  await writeFile(user, "");
  return {
    directory,
    async [Symbol.asyncDispose]() {
      await rm(user, { force: true });
    },
  };
}

/** Hash of the inputs of the image that `output` points to, or undefined. */
export async function builtKey(output: string): Promise<string | undefined> {
  const text = await readFile(join(output, "manifest.json"), "utf8").catch(() => "{}");
  return (JSON.parse(text) as { inputs?: { key?: string } }).inputs?.key;
}
