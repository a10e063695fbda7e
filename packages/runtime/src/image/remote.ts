import {
  type Digest,
  formatPlatform,
  formatReference,
  type ImageReference,
  type Platform,
  PlatformError,
  parseConfig,
  platformDistance,
} from "@keelson/oci";
import type { RegistryClient } from "../registry/client.ts";
import { ContentError } from "../registry/errors.ts";
import type { Endpoint } from "../registry/mirrors.ts";
import type { ImageSource, SourceLayer } from "../store/source.ts";

/** What {@link remoteSource} needs. */
export interface RemoteRequest {
  readonly client: RegistryClient;
  readonly endpoint: Endpoint;
  readonly reference: ImageReference;
  readonly platform: Platform;
  /** A config that is here already. */
  readonly readKnown: (id: Digest) => Promise<Uint8Array | undefined>;
  readonly signal: AbortSignal | undefined;
}

/** An image of a registry as a source for the store: manifest and config are fetched and verified, layers wait. */
export async function remoteSource(request: RemoteRequest): Promise<ImageSource> {
  const { client, endpoint, reference, platform, signal } = request;
  const image = await client.resolve(reference, endpoint, platform, signal);
  const { config: descriptor, layers } = image.manifest;
  const known = await request.readKnown(descriptor.digest);
  if (known !== undefined && known.length !== descriptor.size) {
    throw new ContentError(
      "size",
      `${descriptor.digest} has ${known.length} bytes, but the manifest says ${descriptor.size}`,
    );
  }
  const configBytes = known ?? (await client.readSmall(endpoint, descriptor, signal));
  const config = parseConfig(configBytes);
  if (platformDistance(platform, config) === undefined) {
    const text = `${formatReference(reference)} is for ${formatPlatform(config)}, but this machine is ${formatPlatform(platform)}`;
    throw new PlatformError(text, { platform });
  }
  if (config.diffIds.length !== layers.length) {
    throw new ContentError(
      "layers",
      `the manifest has ${layers.length} layers, but the config names ${config.diffIds.length}`,
    );
  }
  return {
    id: descriptor.digest,
    config,
    configBytes,
    layers: config.diffIds.map((diffId, i): SourceLayer => {
      const layer = layers[i];
      if (layer === undefined) throw new ContentError("layers", `layer ${i} is missing`);
      const { compression, size } = layer;
      return { diffId, compression, blobBytes: size, open: (s) => client.readBlob(endpoint, layer, s) };
    }),
    manifest: () => ({ digest: image.digest, bytes: image.manifestBytes }),
  };
}
