import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { buildImage, defaultOutput } from "./build.ts";
import { HostToolsError } from "./errors.ts";
import { whyNotBuild } from "./host.ts";
import { type Progress, silentProgress } from "./progress.ts";
import { type PinnedImage, pinImage } from "./store.ts";

/**
 * The image of this repository as it is now, pinned: built when its inputs changed (seconds once the Debian packages
 * are in the cache). A host that cannot build uses the image that is there, with a warning.
 * @throws {HostToolsError} when there is no image and it cannot be built here
 */
export async function ensureImage(options: {
  readonly repository: string;
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
}): Promise<PinnedImage> {
  const repository = resolve(options.repository);
  const progress = options.progress ?? silentProgress;
  const output = defaultOutput(repository);
  const problem = whyNotBuild();
  if (problem === undefined) {
    await buildImage({ repository, progress, signal: options.signal });
  } else {
    const exists = (await stat(join(output, "manifest.json")).catch(() => undefined)) !== undefined;
    if (!exists) throw new HostToolsError(`there is no image yet, and it cannot be built here: ${problem}`);
    progress.warn(`using the image as it was built, since ${problem}`);
  }
  return await pinImage(output);
}
