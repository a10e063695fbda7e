import type { Compression, Digest, ImageConfig } from "@keelson/oci";

/** A layer that can be read from somewhere. */
export interface SourceLayer {
  readonly diffId: Digest;
  /** Undefined: by its first bytes. */
  readonly compression: Compression | undefined;
  /** Bytes of the blob. */
  readonly blobBytes: number;
  /** The blob. It throws, at the latest at its end, when it is not what it should be. */
  open(signal: AbortSignal | undefined): AsyncIterable<Uint8Array>;
}

/** An image that can be put into the store: its documents, already verified, and its layers, still to be. */
export interface ImageSource {
  readonly id: Digest;
  readonly config: ImageConfig;
  readonly configBytes: Uint8Array;
  /** Base first; as many as the config has diff ids. */
  readonly layers: readonly SourceLayer[];
  /** Made when the layers are there. */
  manifest(tarBytes: ReadonlyMap<Digest, number>): { readonly digest: Digest; readonly bytes: Uint8Array };
}

/** What happens while an image is put into the store. */
export type ImageProgress =
  | { readonly kind: "resolved"; readonly id: Digest; readonly layers: number; readonly blobBytes: number }
  | { readonly kind: "layer-exists"; readonly diffId: Digest }
  | { readonly kind: "layer-bytes"; readonly diffId: Digest; readonly received: number; readonly total: number }
  | { readonly kind: "layer-done"; readonly diffId: Digest; readonly size: number }
  | { readonly kind: "done"; readonly id: Digest };
