import type { ImageConfig } from "@keelson/oci";

/** An image that is ready to be mounted. */
export interface RuntimeImage {
  /** The config's digest. */
  readonly id: string;
  readonly names: readonly string[];
  readonly config: ImageConfig;
  /** Base first. */
  readonly layers: readonly { readonly diffId: string; readonly erofsPath: string }[];
}

/** What the runtime wants of the image store. */
export interface ImageSource {
  /** An image that is here, by name or id. */
  get(name: string): Promise<RuntimeImage | undefined>;
  /** Gets an image from its registry. */
  pull(name: string, options: { readonly isPlainHttpAllowed: boolean }): Promise<RuntimeImage>;
}
