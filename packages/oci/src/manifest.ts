import type { Digest } from "./digest.ts";
import { type Compression, documentKind, layerCompression } from "./media-types.ts";
import { Reader } from "./reader.ts";

/** Largest index or manifest that is read. distribution-spec: registries should take 4 MiB. */
export const MANIFEST_BYTES_MAX: number = 4 * 1024 * 1024;
/** Layers of one image; overlayfs mounts at most some hundred. */
export const LAYERS_MAX = 256;
/** Images of one index. */
const MANIFESTS_MAX = 1_000;
const ANNOTATIONS_MAX = 1_000;
const ANNOTATION_LENGTH_MAX = 256 * 1024;
/** Bytes of content that a descriptor may carry inline. */
const DATA_LENGTH_MAX = 1024 * 1024;

/** RFC 6838 §4.2. */
const MEDIA_TYPE = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;

/** Content by its digest. image-spec descriptor.md. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform;
  readonly artifactType?: string;
  /** The content itself, when the descriptor carries it. To be checked like any other. */
  readonly data?: Uint8Array;
}

/** What an image runs on; names are Go's. image-spec image-index.md. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
}

/** A descriptor of a layer, with how it is packed. */
export interface LayerDescriptor extends Descriptor {
  readonly compression: Compression;
}

/** One image. image-spec manifest.md. */
export interface Manifest {
  readonly kind: "manifest";
  readonly mediaType: string | undefined;
  readonly config: Descriptor;
  /** Base first. */
  readonly layers: readonly LayerDescriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** Images for several platforms. image-spec image-index.md. */
export interface Index {
  readonly kind: "index";
  readonly mediaType: string | undefined;
  readonly manifests: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * Parses an index or a manifest.
 *
 * @param mediaType as the server or the descriptor said; a `mediaType` in the document that differs is refused
 * @throws ImageDocumentError
 */
export function parseManifest(bytes: Uint8Array, mediaType?: string): Manifest | Index {
  const reader = Reader.parse("image manifest", bytes, MANIFEST_BYTES_MAX);
  const own = reader.field("mediaType").optionalString(256);
  if (own !== undefined && mediaType !== undefined && own !== mediaType) {
    throw reader
      .field("mediaType")
      .fail(`is ${JSON.stringify(own)}, but it was served as ${JSON.stringify(mediaType)}`);
  }
  const stated = own ?? mediaType;
  const kind = stated === undefined ? guessKind(reader) : documentKind(stated);
  if (kind !== "index" && kind !== "manifest") {
    throw reader.fail(
      `the media type ${JSON.stringify(stated ?? "")} is neither that of an image index nor of a manifest`,
    );
  }
  checkHeader(reader, kind);
  const common = {
    mediaType: stated,
    annotations: reader.field("annotations").stringMap(ANNOTATIONS_MAX, ANNOTATION_LENGTH_MAX),
  };
  if (kind === "index") {
    return { kind, manifests: reader.field("manifests").list(MANIFESTS_MAX).map(readDescriptor), ...common };
  }
  const config = readDescriptor(reader.field("config"));
  return { kind, config, layers: reader.field("layers").list(LAYERS_MAX).map(readLayer), ...common };
}

/** Old tools leave out the media type in both the document and what points to it. */
function guessKind(reader: Reader): "index" | "manifest" | undefined {
  const isIndex = reader.field("manifests").isPresent;
  const isManifest = reader.field("config").isPresent;
  return isIndex === isManifest ? undefined : isIndex ? "index" : "manifest";
}

function checkHeader(reader: Reader, kind: "index" | "manifest"): void {
  const version = reader.field("schemaVersion");
  if (version.integer() !== 2) throw version.fail("is not 2: images of this age must be converted by their registry");
  // A document that is both would be two images to two readers.
  for (const foreign of kind === "index" ? ["config", "layers"] : ["manifests"]) {
    if (reader.field(foreign).isPresent) throw reader.field(foreign).fail(`does not belong in an image ${kind}`);
  }
  if (reader.field("fsLayers").isPresent)
    throw reader.field("fsLayers").fail("does not belong in a version 2 manifest");
}

function readLayer(reader: Reader): LayerDescriptor {
  const descriptor = readDescriptor(reader);
  const compression = layerCompression(descriptor.mediaType);
  if (compression === undefined) {
    const type = JSON.stringify(descriptor.mediaType);
    throw reader
      .field("mediaType")
      .fail(`${type} is not a layer that can be unpacked; is this an artifact and not an image?`);
  }
  return { ...descriptor, compression };
}

/** Reads a descriptor. @throws ImageDocumentError */
export function readDescriptor(reader: Reader): Descriptor {
  const annotations = reader.field("annotations");
  const platform = reader.field("platform");
  const artifactType = reader.field("artifactType").optionalString(256);
  const data = reader.field("data");
  const size = reader.field("size").integer();
  const mediaType = reader.field("mediaType").string(256);
  if (!MEDIA_TYPE.test(mediaType)) throw reader.field("mediaType").fail("is not a media type");
  return {
    mediaType,
    digest: reader.field("digest").digest(),
    size,
    ...(annotations.isPresent ? { annotations: annotations.stringMap(ANNOTATIONS_MAX, ANNOTATION_LENGTH_MAX) } : {}),
    ...(platform.isPresent ? { platform: readPlatform(platform) } : {}),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(data.isPresent ? { data: readData(data, size) } : {}),
  };
}

function readPlatform(reader: Reader): Platform {
  const variant = reader.field("variant").optionalString(64);
  const osVersion = reader.field("os.version").optionalString(256);
  return {
    os: reader.field("os").string(64),
    architecture: reader.field("architecture").string(64),
    ...(variant === undefined || variant === "" ? {} : { variant }),
    ...(osVersion === undefined ? {} : { osVersion }),
  };
}

function readData(reader: Reader, size: number): Uint8Array {
  const text = reader.string(DATA_LENGTH_MAX);
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  } catch {
    throw reader.fail("is not base64");
  }
  if (bytes.length !== size) throw reader.fail(`holds ${bytes.length} bytes, but size says ${size}`);
  return bytes;
}
