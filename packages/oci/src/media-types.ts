/** How the bytes of a layer are packed. */
export type Compression = "none" | "gzip" | "zstd";

const OCI = "application/vnd.oci.image";
const DOCKER = "application/vnd.docker";

/** Media types by what they hold; OCI's and Docker's twins mean the same. image-spec media-types.md. */
export const MEDIA_TYPES = {
  index: [`${OCI}.index.v1+json`, `${DOCKER}.distribution.manifest.list.v2+json`],
  manifest: [`${OCI}.manifest.v1+json`, `${DOCKER}.distribution.manifest.v2+json`],
  config: [`${OCI}.config.v1+json`, `${DOCKER}.container.image.v1+json`],
} as const;

const LAYERS: Readonly<Record<string, Compression>> = {
  [`${OCI}.layer.v1.tar`]: "none",
  [`${OCI}.layer.v1.tar+gzip`]: "gzip",
  [`${OCI}.layer.v1.tar+zstd`]: "zstd",
  // Deprecated, but may be pulled.
  [`${OCI}.layer.nondistributable.v1.tar`]: "none",
  [`${OCI}.layer.nondistributable.v1.tar+gzip`]: "gzip",
  [`${OCI}.layer.nondistributable.v1.tar+zstd`]: "zstd",
  [`${DOCKER}.image.rootfs.diff.tar`]: "none",
  [`${DOCKER}.image.rootfs.diff.tar.gzip`]: "gzip",
  [`${DOCKER}.image.rootfs.diff.tar.zstd`]: "zstd",
  [`${DOCKER}.image.rootfs.foreign.diff.tar`]: "none",
  [`${DOCKER}.image.rootfs.foreign.diff.tar.gzip`]: "gzip",
};

/** The kind of JSON document that a media type names, or undefined. Parameters such as `; charset=utf-8` are ignored. */
export function documentKind(mediaType: string): "index" | "manifest" | "config" | undefined {
  const bare = bareMediaType(mediaType);
  for (const kind of ["index", "manifest", "config"] as const) {
    if ((MEDIA_TYPES[kind] as readonly string[]).includes(bare)) return kind;
  }
  return undefined;
}

/** How a layer of this media type is packed; undefined when it is not the type of a layer. */
export function layerCompression(mediaType: string): Compression | undefined {
  return Object.hasOwn(LAYERS, mediaType) ? LAYERS[mediaType] : undefined;
}

/** Without parameters, in lower case. */
export function bareMediaType(mediaType: string): string {
  return (mediaType.split(";", 1)[0] ?? "").trim().toLowerCase();
}

/** How bytes are packed, by their first four. */
export function sniffCompression(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return "zstd";
  return "none";
}

/** What a client says it accepts when it asks for a manifest. */
export const ACCEPT_MANIFESTS: string = [...MEDIA_TYPES.index, ...MEDIA_TYPES.manifest].join(", ");
