import { readFile, stat } from "node:fs/promises";
import {
  CONFIG_BYTES_MAX,
  type Digest,
  digestFileName,
  formatReference,
  type ImageConfig,
  ImageReferenceError,
  isDigest,
  isVerifiable,
  type Platform,
  parseConfig,
  parseReference,
} from "@keelson/oci";
import { sources } from "../image/archive.ts";
import { remoteSource } from "../image/remote.ts";
import { verifyBytes } from "../registry/blob.ts";
import type { RegistryClient } from "../registry/client.ts";
import { ImageInUseError, ImageNotFoundError, StoreError } from "./errors.ts";
import { syncDirectory } from "./files.ts";
import type { UnpackLimits } from "./layer-file.ts";
import { verifyLayerFile } from "./layer-file.ts";
import { fileSize, layerFileName, STORE_ROOT, StoreLayout } from "./layout.ts";
import { type PutOptions, putImage } from "./put.ts";
import { type ImageRecord, type NameRecord, Records } from "./records.ts";
import type { ImageProgress, ImageSource } from "./source.ts";
import { sweep } from "./sweep.ts";

/** What an {@link ImageStore} needs. */
export interface ImageStoreOptions {
  /** Default /var/lib/rkt. */
  readonly root?: string;
  /** For pulls. Without it there are only imports. */
  readonly client?: RegistryClient;
  /** Ids of images and diff ids of layers that pods need. Asked before anything is removed. */
  readonly inUse?: () => Promise<Iterable<Digest>>;
  /** Bytes that the store may hold. Default: what the disk has. */
  readonly bytesMax?: number;
  /** Bytes of the disk that the store leaves to others. Default 64 MiB. */
  readonly reserveBytes?: number;
  readonly limits?: UnpackLimits;
}

/** Of a pull or an import. */
export interface StoreRequest {
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: ImageProgress) => void;
  /** Default: this machine's. */
  readonly platform?: Platform;
  /** Layers at a time. Default 3. */
  readonly parallel?: number;
  /** Whether plain HTTP will do where HTTPS is not answered and the configuration says nothing. Default false. */
  readonly isPlainHttpAllowed?: boolean;
}

/** Of an import. */
export interface ImportRequest extends StoreRequest {
  /** The name of an image that has none in the archive, or only a tag. */
  readonly name?: string;
}

/** An image that is complete in the store. */
export interface StoredImage {
  /** Digest of the config. */
  readonly id: Digest;
  readonly manifestDigest: Digest;
  /** In full, sorted. */
  readonly names: readonly string[];
  readonly config: ImageConfig;
  /** Base first. `size` is that of the EROFS file, in bytes. */
  readonly layers: readonly { readonly diffId: Digest; readonly erofsPath: string; readonly size: number }[];
  /** Bytes of its layers, which other images may share. */
  readonly size: number;
  /** RFC 3339. */
  readonly importedAt: string;
}

/** Something that is not as it was written. */
export interface StoreDamage {
  readonly path: string;
  readonly problem: string;
  /** Images that are affected. */
  readonly images: readonly Digest[];
}

const MACHINE: Readonly<Record<string, string>> = {
  x64: "amd64",
  arm64: "arm64",
  arm: "arm",
  riscv64: "riscv64",
  ppc64: "ppc64le",
  s390x: "s390x",
};

/** The platform of this machine. */
export function thisPlatform(): Platform {
  return { os: "linux", architecture: MACHINE[process.arch] ?? process.arch };
}

/** Opens a store, making its directories. @throws StoreError */
export async function openImageStore(options: ImageStoreOptions = {}): Promise<ImageStore> {
  const layout = new StoreLayout(options.root ?? STORE_ROOT);
  await layout.prepare();
  return new ImageStore(layout, options);
}

/**
 * Images on this machine: one EROFS file for each layer, the images' documents, and names. Any number of processes may use one store at once.
 * There is no lock and no index: what is there is what the directories say.
 */
export class ImageStore {
  readonly #layout: StoreLayout;
  readonly #records: Records;
  readonly #options: ImageStoreOptions;
  readonly #putting = new Map<Digest, Promise<void>>();

  /** Use {@link openImageStore}. */
  constructor(layout: StoreLayout, options: ImageStoreOptions) {
    this.#layout = layout;
    this.#records = new Records(layout);
    this.#options = options;
  }

  get root(): string {
    return this.#layout.root;
  }

  /**
   * Pulls an image by name. Layers that are there are not fetched again.
   *
   * @throws ImageReferenceError, RegistryError, ContentError, LayerError, PlatformError, ImageDocumentError, StoreFullError; the store is then as
   *   it was, but that complete layers stay after a failure of the network
   */
  async pull(name: string, request: StoreRequest = {}): Promise<StoredImage> {
    const { client } = this.#options;
    if (client === undefined)
      throw new StoreError("this image store has no registry client: images can only be imported");
    const reference = parseReference(name);
    const platform = request.platform ?? thisPlatform();
    const isPlainHttpAllowed = request.isPlainHttpAllowed === true;
    return await client.anywhere(reference, { isPlainHttpAllowed }, async (endpoint) => {
      const readKnown = (id: Digest) => this.#knownConfig(id);
      const source = await remoteSource({ client, endpoint, reference, platform, readKnown, signal: request.signal });
      return await this.#put(source, [formatReference(reference)], request);
    });
  }

  /** Imports the images of an OCI layout, a directory. @throws as {@link pull}, and ArchiveError */
  async importLayout(path: string, request: ImportRequest = {}): Promise<StoredImage[]> {
    return await this.#import(path, "layout", request);
  }

  /** Imports the images of an oci-archive or docker-archive (`docker save`), also a packed one. @throws as {@link pull}, and ArchiveError */
  async importArchive(path: string, request: ImportRequest = {}): Promise<StoredImage[]> {
    return await this.#import(path, "archive", request);
  }

  async #import(path: string, kind: "layout" | "archive", request: ImportRequest): Promise<StoredImage[]> {
    const { name, signal, platform = thisPlatform() } = request;
    const result: StoredImage[] = [];
    await using found = await sources(path, kind, { name, platform, signal, scratch: this.#layout.directory("tmp") });
    for (const { source, names } of found.images) result.push(await this.#put(source, names, request));
    return result;
  }

  async #put(source: ImageSource, names: readonly string[], request: StoreRequest): Promise<StoredImage> {
    const options: PutOptions = {
      names,
      limits: this.#options.limits ?? {},
      parallel: request.parallel ?? 3,
      bytesMax: this.#options.bytesMax ?? Number.POSITIVE_INFINITY,
      reserveBytes: this.#options.reserveBytes ?? 64 * 1024 * 1024,
      signal: request.signal,
      onProgress: request.onProgress,
    };
    await this.#inTurn(source.id, () => putImage(this.#layout, this.#records, source, options));
    const stored = await this.#load(source.id);
    if (stored === undefined) throw new StoreError(`the image ${source.id} was removed while it was pulled`);
    return stored;
  }

  /** One image is put by one call at a time, so that two apps of one pod do not fetch the same layers twice. */
  async #inTurn(id: Digest, put: () => Promise<void>): Promise<void> {
    const before = this.#putting.get(id);
    const turn = before === undefined ? put() : before.catch(() => undefined).then(put);
    this.#putting.set(id, turn);
    try {
      await turn;
    } finally {
      if (this.#putting.get(id) === turn) this.#putting.delete(id);
    }
  }

  /** All images that are complete, the newest first. */
  async list(): Promise<StoredImage[]> {
    const names = await this.#records.names();
    const images: StoredImage[] = [];
    for (const record of await this.#records.images()) {
      const image = await this.#complete(record, names);
      if (image !== undefined) images.push(image);
    }
    return images.sort((a, b) => (a.importedAt < b.importedAt ? 1 : -1));
  }

  /** The image of a name, a digest, or the beginning of an id. @throws ImageNotFoundError */
  async get(nameOrId: string): Promise<StoredImage> {
    const id = await this.#find(nameOrId);
    const image = await this.#load(id);
    if (image === undefined) {
      throw new ImageNotFoundError(
        `the image ${nameOrId} is there, but not all of its layers: pull or import it again`,
        { id },
      );
    }
    await this.#records.touch(id);
    return image;
  }

  async #find(nameOrId: string): Promise<Digest> {
    const ids = (await this.#records.images()).map((record) => record.id);
    const names = await this.#records.names();
    // `app:v1` also has the form of a digest, of an algorithm called app.
    if (isDigest(nameOrId) && isVerifiable(nameOrId)) {
      const found = ids.find((id) => id === nameOrId) ?? (await this.#byManifest(nameOrId));
      if (found !== undefined) return found;
    } else {
      const named = findName(nameOrId, names);
      if (named !== undefined && ids.includes(named.id)) return named.id;
      // `rkt` prints ids as `sha256-<hex>`.
      const hex = /^(?:sha256[-:])?([0-9a-f]{4,64})$/.exec(nameOrId)?.[1];
      const short = hex === undefined ? [] : ids.filter((id) => id.startsWith(`sha256:${hex}`));
      if (short.length === 1 && short[0] !== undefined) return short[0];
      if (short.length > 1) {
        throw new ImageNotFoundError(`${nameOrId} is the beginning of several ids: ${short.join(", ")}`, { nameOrId });
      }
    }
    throw new ImageNotFoundError(
      `there is no image ${nameOrId} here (rkt image list shows what there is; rkt fetch gets more)`,
      { nameOrId },
    );
  }

  async #byManifest(digest: Digest): Promise<Digest | undefined> {
    return (await this.#records.images()).find((record) => record.manifest === digest)?.id;
  }

  /**
   * Removes an image with all its names, and the layers that only it has. Returns the bytes that were freed.
   *
   * @throws ImageNotFoundError, ImageInUseError
   */
  async remove(nameOrId: string): Promise<{ readonly id: Digest; readonly freedBytes: number }> {
    const id = await this.#find(nameOrId);
    if ((await this.#usedImages()).has(id)) {
      throw new ImageInUseError(`the image ${nameOrId} is needed by a pod: remove that first (rkt list, rkt rm)`, {
        id,
      });
    }
    const record = await this.#records.image(id);
    await this.#forget(id);
    const files = record?.diffIds.map(layerFileName) ?? [];
    const only = new Set([
      ...files,
      digestFileName(id),
      ...(record === undefined ? [] : [digestFileName(record.manifest)]),
    ]);
    const freedBytes = await this.#sweep(0, only);
    return { id, freedBytes };
  }

  /**
   * Removes images that no pod needs and that were not used for `graceMs` (default a day), and then files of no image that are as old. Never what
   * is in use.
   */
  async gc(
    options: { readonly graceMs?: number } = {},
  ): Promise<{ readonly removed: readonly Digest[]; readonly freedBytes: number }> {
    const graceMs = options.graceMs ?? 24 * 3_600_000;
    const used = await this.#usedImages();
    const removed: Digest[] = [];
    for (const { id } of await this.#records.images()) {
      const touched = (await stat(this.#layout.image(id)).catch(() => undefined))?.mtimeMs ?? 0;
      if (used.has(id) || Date.now() - touched < graceMs) continue;
      await this.#forget(id);
      removed.push(id);
    }
    return { removed, freedBytes: await this.#sweep(graceMs, undefined) };
  }

  /** Reads all again, or what one image needs, and tells what is damaged. With `remove` it goes, so that a pull gets it anew. */
  async verify(options: { readonly image?: string; readonly remove?: boolean } = {}): Promise<StoreDamage[]> {
    const one = options.image === undefined ? undefined : await this.#find(options.image);
    const records = (await this.#records.images()).filter((record) => one === undefined || record.id === one);
    const users = new Map<string, Digest[]>();
    const use = (path: string, id: Digest) => users.set(path, [...(users.get(path) ?? []), id]);
    for (const { id, manifest, diffIds } of records) {
      for (const diffId of new Set(diffIds)) use(this.#layout.layer(diffId), id);
      use(this.#layout.blob(id), id);
      use(this.#layout.blob(manifest), id);
    }
    const damages: StoreDamage[] = [];
    for (const [path, images] of users) {
      const problem = path.endsWith(".erofs") ? await verifyLayerFile(path) : await verifyBlob(path);
      if (problem !== undefined) damages.push({ path, problem, images });
    }
    if (options.remove === true) await this.#removeDamaged(damages);
    return damages;
  }

  async #removeDamaged(damages: readonly StoreDamage[]): Promise<void> {
    const { rm } = await import("node:fs/promises");
    for (const { path } of damages) await rm(path, { force: true });
    for (const name of ["layers", "blobs"] as const) await syncDirectory(this.#layout.directory(name));
  }

  async #forget(id: Digest): Promise<void> {
    // Names first: a name without an image would be worse than an image without a name.
    for (const name of await this.#records.names()) if (name.id === id) await this.#records.removeName(name.name);
    await this.#records.removeImage(id);
    for (const name of ["names", "images"] as const) await syncDirectory(this.#layout.directory(name));
  }

  async #usedImages(): Promise<Set<Digest>> {
    return new Set((await this.#options.inUse?.()) ?? []);
  }

  async #sweep(graceMs: number, only: ReadonlySet<string> | undefined): Promise<number> {
    const alsoUsed = async () => [...(await this.#usedImages())].flatMap((d) => [layerFileName(d), digestFileName(d)]);
    return await sweep(this.#layout, this.#records, { alsoUsed, graceMs, ...(only === undefined ? {} : { only }) });
  }

  async #load(id: Digest): Promise<StoredImage | undefined> {
    const record = await this.#records.image(id);
    return record === undefined ? undefined : await this.#complete(record, await this.#records.names());
  }

  /** Undefined when a layer or the config is missing: such an image is not to be run. */
  async #complete(record: ImageRecord, names: readonly NameRecord[]): Promise<StoredImage | undefined> {
    const config = await this.#knownConfig(record.id);
    if (config === undefined) return undefined;
    const layers: StoredImage["layers"][number][] = [];
    for (const diffId of record.diffIds) {
      const erofsPath = this.#layout.layer(diffId);
      const size = await fileSize(erofsPath);
      if (size === undefined) return undefined;
      layers.push({ diffId, erofsPath, size });
    }
    return {
      id: record.id,
      manifestDigest: record.manifest,
      names: names.filter((name) => name.id === record.id).map((name) => name.name),
      config: parseConfig(config),
      layers,
      size: layers.reduce((sum, layer) => sum + layer.size, 0),
      importedAt: record.importedAt,
    };
  }

  /** A config that is in the store already, if it is what its name says. */
  async #knownConfig(id: Digest): Promise<Uint8Array | undefined> {
    const bytes = await readFile(this.#layout.blob(id)).catch(() => undefined);
    if (bytes === undefined || bytes.length > CONFIG_BYTES_MAX) return undefined;
    try {
      verifyBytes(bytes, { digest: id, size: bytes.length });
      return bytes;
    } catch {
      return undefined;
    }
  }
}

function findName(text: string, names: readonly NameRecord[]): NameRecord | undefined {
  try {
    const reference = parseReference(text);
    const full = formatReference(reference);
    const found = names.find((record) => record.name === full);
    if (found !== undefined || reference.digest === undefined) return found;
    // `name@digest` also finds what was pulled as `name:tag`.
    const bare = formatReference({ registry: reference.registry, repository: reference.repository });
    return names.find((r) => r.manifest === reference.digest && r.name.replace(/(:[^:/@]+)?(@.*)?$/, "") === bare);
  } catch (error) {
    if (error instanceof ImageReferenceError) return undefined;
    throw error;
  }
}

async function verifyBlob(path: string): Promise<string | undefined> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => error);
  if (bytes instanceof Error) return `cannot be read (${bytes.code})`;
  const digest = path.slice(path.lastIndexOf("/") + 1).replace("-", ":");
  try {
    verifyBytes(bytes, { digest: digest as Digest, size: bytes.length });
    return undefined;
  } catch {
    return "its content is not what its name says";
  }
}
