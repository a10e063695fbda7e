import { fileURLToPath } from "node:url";
import { ensureImage, type PinnedImage, type Progress } from "@keelson/image-builder";

/** Where a provider of machines with our image takes it from. */
export interface ImageOptions {
  /** Default: this repository. */
  readonly repository?: string;
  /** Says what the build of the image does. Default: steps on standard error. */
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

const stderrProgress: Progress = {
  step: (text) => void process.stderr.write(`image: ${text}\n`),
  detail: () => {},
  warn: (text) => void process.stderr.write(`image: warning: ${text}\n`),
};

/** The repository's image as it is now, held until it is disposed of; built where its inputs changed. */
export async function takeImage(options: ImageOptions): Promise<PinnedImage> {
  return await ensureImage({
    repository: options.repository ?? fileURLToPath(new URL("../../..", import.meta.url)),
    progress: options.progress ?? stderrProgress,
    signal: options.signal,
  });
}
