import { isDigest } from "./digest.ts";
import { type Index, LAYERS_MAX, parseManifest } from "./manifest.ts";
import { Reader } from "./reader.ts";

/** The annotation that names an image in an index.json. image-spec annotations.md. */
export const REF_NAME = "org.opencontainers.image.ref.name";
/** The annotation with the full name, as containerd and docker write it. */
const CONTAINERD_NAME = "io.containerd.image.name";

/** Checks an `oci-layout` file. image-spec image-layout.md. @throws ImageDocumentError */
export function checkLayout(bytes: Uint8Array): void {
  const version = Reader.parse("oci-layout", bytes, 64 * 1024).field("imageLayoutVersion");
  if (!/^1\.[0-9.]{1,20}$/.test(version.string(32))) throw version.fail("is not 1.x");
}

/** Parses the `index.json` of a layout. @throws ImageDocumentError */
export function parseLayoutIndex(bytes: Uint8Array): Index {
  const index = parseManifest(bytes);
  if (index.kind !== "index") throw new Reader("index.json", null).fail("is not an image index");
  return index;
}

/** The name of an entry of an `index.json`, if it has one: `latest`, or a full name. */
export function layoutName(annotations: Readonly<Record<string, string>> | undefined): string | undefined {
  return annotations?.[CONTAINERD_NAME] ?? annotations?.[REF_NAME];
}

/** One image of `docker save`. */
export interface SavedImage {
  /** Path of the config in the archive. */
  readonly config: string;
  /** Names with tags, as docker writes them. */
  readonly repoTags: readonly string[];
  /** Paths of the layers' tars, base first. */
  readonly layers: readonly string[];
}

/** Parses the `manifest.json` of a `docker save` archive. docker image-spec v1.2 "Combined Image JSON + Filesystem Changeset Format". @throws ImageDocumentError */
export function parseSaved(bytes: Uint8Array): SavedImage[] {
  // The document is a list; the reader wants an object at the top.
  const wrapped = new Uint8Array(bytes.length + SAVED_HEAD.length + 1);
  wrapped.set(SAVED_HEAD);
  wrapped.set(bytes, SAVED_HEAD.length);
  wrapped[wrapped.length - 1] = 0x7d;
  const images = Reader.parse("manifest.json", wrapped, 4 * 1024 * 1024)
    .field("images")
    .list(1_000);
  return images.map((image) => ({
    config: image.field("Config").cString(512),
    repoTags: image.field("RepoTags").strings(1_000, 512),
    layers: image.field("Layers").strings(LAYERS_MAX, 512),
  }));
}

const SAVED_HEAD = new TextEncoder().encode('{"images":');

/** The path of a blob in a layout. */
export function blobPath(digest: string): string {
  if (!isDigest(digest)) throw new Reader("digest", null).fail("is malformed");
  return `blobs/${digest.replace(":", "/")}`;
}
