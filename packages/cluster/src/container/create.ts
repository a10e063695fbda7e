import type { PinnedImage } from "@keelson/image-builder";
import { ProviderUnavailableError } from "../errors.ts";
import { type ImageOptions, takeImage } from "../image.ts";
import { ContainerProvider, type ContainerProviderOptions, whyNotContainer } from "./provider.ts";

export interface CreateContainerProviderOptions extends Omit<ContainerProviderOptions, "image">, ImageOptions {}

/** A provider of containers of the repository's image as it is now; builds the image first where its inputs changed. */
export async function createContainerProvider(
  options: CreateContainerProviderOptions = {},
): Promise<ContainerProvider> {
  const problem = whyNotContainer();
  if (problem !== undefined) throw new ProviderUnavailableError(problem);
  return new PinnedContainerProvider(await takeImage(options), options);
}

class PinnedContainerProvider extends ContainerProvider {
  readonly #image: PinnedImage;

  constructor(image: PinnedImage, options: Omit<ContainerProviderOptions, "image">) {
    super({ ...options, image: image.directory });
    this.#image = image;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#image[Symbol.asyncDispose]();
  }
}
