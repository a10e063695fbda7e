import type { PinnedImage } from "@keelson/image-builder";
import { ProviderUnavailableError } from "../errors.ts";
import { type ImageOptions, takeImage } from "../image.ts";
import { QemuProvider, type QemuProviderOptions, whyNotQemu } from "./provider.ts";

export interface CreateQemuProviderOptions extends Omit<QemuProviderOptions, "image">, ImageOptions {}

/** A provider of VMs of the repository's image as it is now; builds the image first where its inputs changed. */
export async function createQemuProvider(options: CreateQemuProviderOptions = {}): Promise<QemuProvider> {
  const problem = whyNotQemu();
  if (problem !== undefined) throw new ProviderUnavailableError(problem);
  return new PinnedQemuProvider(await takeImage(options), options);
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
