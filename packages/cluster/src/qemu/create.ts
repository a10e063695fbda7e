import { fileURLToPath } from "node:url";
import { ensureImage, type PinnedImage, type Progress } from "@keelson/image-builder";
import { ProviderUnavailableError } from "../errors.ts";
import { QemuProvider, type QemuProviderOptions, whyNotQemu } from "./provider.ts";

export interface CreateQemuProviderOptions extends Omit<QemuProviderOptions, "image"> {
  /** Default: this repository. */
  readonly repository?: string;
  /** Says what the build of the image does. Default: steps on standard error. */
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

/** The repository that this file is in. */
export function repositoryDirectory(): string {
  return fileURLToPath(new URL("../../../..", import.meta.url));
}

/** Steps on standard error. */
export const stderrProgress: Progress = {
  step: (text) => void process.stderr.write(`image: ${text}\n`),
  detail: () => {},
  warn: (text) => void process.stderr.write(`image: warning: ${text}\n`),
};

/** A provider of VMs of the repository's image as it is now; builds the image first where its inputs changed. */
export async function createQemuProvider(options: CreateQemuProviderOptions = {}): Promise<QemuProvider> {
  const problem = whyNotQemu();
  if (problem !== undefined) throw new ProviderUnavailableError(problem);
  const { repository = repositoryDirectory(), progress = stderrProgress, signal, ...rest } = options;
  const image = await ensureImage({ repository, progress, signal });
  return new PinnedQemuProvider(image, rest);
}

class PinnedQemuProvider extends QemuProvider {
  readonly #image: PinnedImage;

  constructor(image: PinnedImage, options: Omit<QemuProviderOptions, "image">) {
    super({ ...options, image: image.directory });
    this.#image = image;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#image[Symbol.asyncDispose]();
  }
}
