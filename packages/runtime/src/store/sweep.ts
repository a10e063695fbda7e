import { rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { digestFileName } from "@keelson/oci";
import { readClaims } from "./claims.ts";
import { isOwnerAlive, scratchName, syncDirectory } from "./files.ts";
import { fileSize, layerFileName, type StoreLayout } from "./layout.ts";
import type { Records } from "./records.ts";

/** Directories whose files are there only as long as an image needs them. */
const SWEPT = ["layers", "blobs"] as const;

/** What a sweep looks at. */
export interface SweepOptions {
  /** Names of files that pods need, beyond those of images. */
  readonly alsoUsed: () => Promise<Iterable<string>>;
  /** Files that were written less than so long ago stay. */
  readonly graceMs: number;
  /** Only these files; default all. */
  readonly only?: ReadonlySet<string>;
}

/** Removes what nobody needs: layers and documents of no image, and what crashed processes left. Returns the bytes that were freed. */
export async function sweep(layout: StoreLayout, records: Records, options: SweepOptions): Promise<number> {
  await recoverTaken(layout, records, options);
  await removeScratch(layout);
  const needed = await neededFiles(layout, records, options);
  const taken: { place: string; scratch: string; name: string }[] = [];
  for (const directory of SWEPT) {
    for (const name of await layout.list(directory)) {
      if (needed.has(name) || (options.only !== undefined && !options.only.has(name))) continue;
      const place = join(layout.directory(directory), name);
      if (!(await isOlderThan(place, options.graceMs))) continue;
      const scratch = join(layout.directory("tmp"), `${scratchName("taken")}.${directory}.${name}`);
      await rename(place, scratch).catch(ignoreMissing);
      taken.push({ place, scratch, name });
    }
  }
  if (taken.length === 0) return 0;
  // Only now, with the files out of their places, a claim can be missed by nobody: see Claim.
  const neededNow = await neededFiles(layout, records, options);
  let freed = 0;
  for (const { place, scratch, name } of taken) {
    if (neededNow.has(name)) await putBack(scratch, place);
    else {
      freed += (await fileSize(scratch)) ?? 0;
      await rm(scratch, { force: true });
    }
  }
  for (const directory of SWEPT) await syncDirectory(layout.directory(directory));
  return freed;
}

async function neededFiles(layout: StoreLayout, records: Records, options: SweepOptions): Promise<Set<string>> {
  // Claims first: a pull that ends in between has its record by then.
  const needed = await readClaims(layout);
  for (const record of await records.images()) {
    for (const diffId of record.diffIds) needed.add(layerFileName(diffId));
    needed.add(digestFileName(record.id)).add(digestFileName(record.manifest));
  }
  for (const name of await records.names()) needed.add(digestFileName(name.manifest));
  for (const name of await options.alsoUsed()) needed.add(name);
  return needed;
}

/** Files that a crashed sweep had taken out: needed ones go back. */
async function recoverTaken(layout: StoreLayout, records: Records, options: SweepOptions): Promise<void> {
  const names = (await layout.list("tmp")).filter((name) => name.startsWith("taken.") && !isOwnerAlive(name));
  if (names.length === 0) return;
  const needed = await neededFiles(layout, records, options);
  for (const scratchFile of names) {
    const match = /^taken\.[^.]+\.[^.]+\.(layers|blobs)\.(.+)$/.exec(scratchFile);
    const scratch = join(layout.directory("tmp"), scratchFile);
    const [, directory, name] = match ?? [];
    if (name !== undefined && needed.has(name)) await putBack(scratch, join(layout.root, directory ?? "", name));
    else await rm(scratch, { force: true });
  }
}

async function putBack(scratch: string, place: string): Promise<void> {
  // A pull may have written the same content there; then ours is one too many.
  if ((await fileSize(place)) === undefined) await rename(scratch, place).catch(ignoreMissing);
  else await rm(scratch, { force: true });
}

/** Removes what processes that are gone had begun. */
export async function removeScratch(layout: StoreLayout): Promise<void> {
  for (const name of await layout.list("tmp")) {
    if (isOwnerAlive(name) || name.startsWith("taken.")) continue;
    await rm(join(layout.directory("tmp"), name), { force: true, recursive: true });
  }
}

async function isOlderThan(path: string, ageMs: number): Promise<boolean> {
  if (ageMs <= 0) return true;
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs >= ageMs;
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
