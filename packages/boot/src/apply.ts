import { basename, dirname } from "node:path";
import { unreachable } from "@keelson/types";
import { ESP_PATHS } from "./core/layout.ts";
import type { EspListing, EspStep } from "./core/plan.ts";
import { type EspFs, writeDurably } from "./esp-fs.ts";

/** Files of entries are small; a bigger one is not ours. */
const ENTRY_BYTES_MAX = 16 * 1024;

/** Reads what is on an ESP, as far as it has to do with booting. */
export async function readEsp(fs: EspFs): Promise<EspListing> {
  const texts = async (directory: string, pattern: RegExp) => {
    const files = new Map<string, string>();
    for (const { name, isDirectory } of await fs.list(directory)) {
      if (isDirectory || !pattern.test(name)) continue;
      const data = await fs.read(`${directory}/${name}`);
      if (data !== undefined && data.length <= ENTRY_BYTES_MAX) files.set(name, Buffer.from(data).toString("latin1"));
    }
    return files;
  };
  const kernels = await fs.list(ESP_PATHS.kernels);
  return {
    entryFiles: await texts(ESP_PATHS.entries, /^keelson-.*\.(conf|tmp)$/),
    grubFiles: await texts(ESP_PATHS.grub, /^keelson-.*\.cfg$/),
    grubenv: await fs.read(ESP_PATHS.grubenv),
    kernels: new Set(kernels.filter((entry) => entry.isDirectory).map((entry) => entry.name)),
  };
}

/** Takes the steps in order; each is durable before the next begins. */
export async function applySteps(fs: EspFs, steps: readonly EspStep[]): Promise<void> {
  for (const step of steps) await applyStep(fs, step);
}

async function applyStep(fs: EspFs, step: EspStep): Promise<void> {
  switch (step.do) {
    case "write":
      await writeDurably(fs, step.path, step.data);
      break;
    case "sector":
      await fs.writeAt(step.path, 0, step.data);
      await fs.sync(step.path);
      break;
    case "rename":
      await fs.rename(step.from, step.to);
      await fs.sync(dirname(step.to));
      break;
    case "remove":
      await removeDurably(fs, step.path);
      break;
    default:
      unreachable(step);
  }
}

/** Removes a file, or a folder with its files. */
export async function removeDurably(fs: EspFs, path: string): Promise<void> {
  const parent = dirname(path);
  const entry = (await fs.list(parent)).find(({ name }) => name === basename(path));
  if (entry === undefined) return;
  if (!entry.isDirectory) {
    await fs.removeFile(path);
  } else {
    for (const { name } of await fs.list(path)) await removeDurably(fs, `${path}/${name}`);
    await fs.removeDirectory(path);
  }
  await fs.sync(parent);
}
