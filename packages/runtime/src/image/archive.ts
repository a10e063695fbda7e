import {
  blobPath,
  CONFIG_BYTES_MAX,
  checkLayout,
  choosePlatform,
  type Descriptor,
  type Digest,
  formatPlatform,
  formatReference,
  type ImageConfig,
  layoutName,
  MANIFEST_BYTES_MAX,
  type Manifest,
  type Platform,
  PlatformError,
  parseConfig,
  parseLayoutIndex,
  parseManifest,
  parseReference,
  parseSaved,
  platformDistance,
  type SavedImage,
} from "@keelson/oci";
import { DigestCheck, sha256, verifyBytes } from "../registry/blob.ts";
import { ContentError } from "../registry/errors.ts";
import { ArchiveError } from "../store/errors.ts";
import type { ImageSource, SourceLayer } from "../store/source.ts";
import { archiveFiles, directoryFiles, type ImageFiles, readFileOf } from "./files.ts";

/** How an archive is read. */
export interface ArchiveRequest {
  /** For an image without a name, or with only a tag. */
  readonly name: string | undefined;
  readonly platform: Platform;
  readonly signal: AbortSignal | undefined;
  /** A directory for a packed archive while it is read. */
  readonly scratch: string;
}

/** Images of an archive; they can be read until this is disposed. */
export interface FoundImages extends AsyncDisposable {
  readonly images: readonly { readonly source: ImageSource; readonly names: readonly string[] }[];
}

const IMAGES_MAX = 1_000;
const DEPTH_MAX = 4;

/**
 * The images of an OCI layout (a directory or a tar) or of `docker save`.
 *
 * @throws ArchiveError, ImageDocumentError, ContentError, PlatformError
 */
export async function sources(path: string, kind: "layout" | "archive", request: ArchiveRequest): Promise<FoundImages> {
  const { scratch, signal } = request;
  const files = kind === "layout" ? directoryFiles(path) : await archiveFiles(path, scratch, signal);
  try {
    const images = await read(files, request);
    if (images.length === 0) throw new ArchiveError(`${path} has no image`, { path });
    return { images, [Symbol.asyncDispose]: () => files[Symbol.asyncDispose]() };
  } catch (error) {
    await files[Symbol.asyncDispose]();
    throw error;
  }
}

async function read(files: ImageFiles, request: ArchiveRequest): Promise<FoundImages["images"]> {
  if ((await files.size("index.json")) !== undefined) {
    checkLayout(await readFileOf(files, "oci-layout", 64 * 1024, request.signal));
    return await readLayout(files, request);
  }
  if ((await files.size("manifest.json")) === undefined) {
    throw new ArchiveError(
      `${files.path} is neither an OCI layout nor made by docker save: it has no index.json and no manifest.json`,
    );
  }
  const saved = parseSaved(await readFileOf(files, "manifest.json", MANIFEST_BYTES_MAX, request.signal));
  const images = [];
  for (const image of saved)
    images.push({ source: await savedSource(files, image, request), names: savedNames(image, request) });
  return images;
}

async function readLayout(files: ImageFiles, request: ArchiveRequest): Promise<FoundImages["images"]> {
  const index = parseLayoutIndex(await readFileOf(files, "index.json", MANIFEST_BYTES_MAX, request.signal));
  if (index.manifests.length > IMAGES_MAX) throw new ArchiveError(`${files.path} has more than ${IMAGES_MAX} images`);
  const byDigest = new Map<Digest, { source: ImageSource; names: string[] }>();
  for (const descriptor of index.manifests) {
    const manifest = await imageManifest(files, descriptor, request);
    if (manifest === undefined) continue;
    const name = fullName(layoutName(descriptor.annotations), request.name);
    const known = byDigest.get(manifest.digest);
    const entry = known ?? { source: await layoutSource(files, manifest, request), names: [] };
    if (name !== undefined) entry.names.push(name);
    byDigest.set(manifest.digest, entry);
  }
  return [...byDigest.values()];
}

interface FoundManifest {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  readonly document: Manifest;
}

/** The manifest that an entry leads to; undefined when it is for another platform. */
async function imageManifest(
  files: ImageFiles,
  entry: Descriptor,
  request: ArchiveRequest,
): Promise<FoundManifest | undefined> {
  if (entry.platform !== undefined && platformDistance(request.platform, entry.platform) === undefined)
    return undefined;
  let descriptor = entry;
  for (let depth = 0; depth < DEPTH_MAX; depth++) {
    const bytes = await readFileOf(files, blobPath(descriptor.digest), MANIFEST_BYTES_MAX, request.signal);
    verifyBytes(bytes, descriptor);
    const document = parseManifest(bytes, descriptor.mediaType);
    if (document.kind === "manifest") return { digest: descriptor.digest, bytes, document };
    descriptor = choosePlatform(document.manifests, request.platform);
  }
  throw new ArchiveError(`${files.path}: indexes in indexes without end`);
}

async function layoutSource(files: ImageFiles, manifest: FoundManifest, request: ArchiveRequest): Promise<ImageSource> {
  const { config: descriptor, layers } = manifest.document;
  const configBytes = await readFileOf(files, blobPath(descriptor.digest), CONFIG_BYTES_MAX, request.signal);
  verifyBytes(configBytes, descriptor);
  const config = configFor(configBytes, request, files);
  if (config.diffIds.length !== layers.length) throw countError(layers.length, config);
  const openBlob = (layer: Descriptor) => (signal: AbortSignal | undefined) =>
    verified(files.stream(blobPath(layer.digest), signal), layer);
  return {
    id: descriptor.digest,
    config,
    configBytes,
    layers: layers.map((layer, i): SourceLayer => {
      const diffId = config.diffIds[i] ?? layer.digest;
      return { diffId, compression: layer.compression, blobBytes: layer.size, open: openBlob(layer) };
    }),
    manifest: () => ({ digest: manifest.digest, bytes: manifest.bytes }),
  };
}

async function* verified(chunks: AsyncIterable<Uint8Array>, descriptor: Descriptor): AsyncGenerator<Uint8Array> {
  const check = new DigestCheck(descriptor.digest, descriptor.size);
  for await (const chunk of chunks) {
    check.update(chunk);
    yield chunk;
  }
  check.finish();
}

/** `docker save` has no manifest of the image: one is made, of the layers as they are unpacked. */
async function savedSource(files: ImageFiles, image: SavedImage, request: ArchiveRequest): Promise<ImageSource> {
  const configBytes = await readFileOf(files, image.config, CONFIG_BYTES_MAX, request.signal);
  const id = sha256(configBytes);
  // The file is mostly called by its digest, and then has to have it.
  const named = /(?:^|[/.])([0-9a-f]{64})(?:\.json)?$/.exec(image.config)?.[1];
  if (named !== undefined && id !== `sha256:${named}`) {
    throw new ContentError("digest", `${files.path}: ${image.config} is ${id}, which is not what its name says`);
  }
  const config = configFor(configBytes, request, files);
  if (config.diffIds.length !== image.layers.length) throw countError(image.layers.length, config);
  const layers: SourceLayer[] = [];
  for (const [i, name] of image.layers.entries()) {
    const blobBytes = await files.size(name);
    const diffId = config.diffIds[i];
    if (blobBytes === undefined || diffId === undefined) throw new ArchiveError(`${files.path} has no file ${name}`);
    layers.push({ diffId, compression: undefined, blobBytes, open: (signal) => files.stream(name, signal) });
  }
  return { id, config, configBytes, layers, manifest: (sizes) => madeManifest(id, configBytes, config, sizes) };
}

function madeManifest(id: Digest, configBytes: Uint8Array, config: ImageConfig, sizes: ReadonlyMap<Digest, number>) {
  const type = "application/vnd.oci.image";
  const layers = config.diffIds.map((digest) => ({
    mediaType: `${type}.layer.v1.tar`,
    digest,
    size: sizes.get(digest) ?? 0,
  }));
  const document = {
    schemaVersion: 2,
    mediaType: `${type}.manifest.v1+json`,
    config: { mediaType: `${type}.config.v1+json`, digest: id, size: configBytes.length },
    layers,
  };
  const bytes = Buffer.from(JSON.stringify(document));
  return { digest: sha256(bytes), bytes };
}

function configFor(bytes: Uint8Array, request: ArchiveRequest, files: ImageFiles): ImageConfig {
  const config = parseConfig(bytes);
  if (platformDistance(request.platform, config) !== undefined) return config;
  const text = `${files.path} is for ${formatPlatform(config)}, but this machine is ${formatPlatform(request.platform)}`;
  throw new PlatformError(text);
}

function countError(count: number, config: ImageConfig): ContentError {
  return new ContentError("layers", `the image has ${count} layers, but its config names ${config.diffIds.length}`);
}

function savedNames(image: SavedImage, request: ArchiveRequest): string[] {
  const names = image.repoTags.map((tag) => formatReference(parseReference(tag)));
  const given = names.length > 0 ? undefined : fullName(undefined, request.name);
  return given === undefined ? names : [given];
}

/** A layout's name may be a full one or only a tag; a tag alone says nothing without a name for it. */
function fullName(found: string | undefined, given: string | undefined): string | undefined {
  const isFull = found !== undefined && /[/:@]/.test(found);
  if (isFull) return formatReference(parseReference(found));
  if (given === undefined) return undefined;
  const reference = parseReference(given);
  const hasTag = /:[^/]*$/.test(given) || reference.digest !== undefined;
  return formatReference(found === undefined || hasTag ? reference : { ...reference, tag: found });
}
