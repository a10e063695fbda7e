import { readFile, rm, utimes } from "node:fs/promises";
import { type Digest, documentKind, isDigest, parseConfig, parseManifest } from "@keelson/oci";
import { z } from "zod";
import { sha256 } from "../registry/blob.ts";
import { writeDurably } from "./files.ts";
import type { StoreLayout } from "./layout.ts";

const digest = z.custom<Digest>((value) => typeof value === "string" && isDigest(value), "is no digest");

const recordSchema = z.object({
  version: z.literal(1),
  /** Digest of the config. */
  id: digest,
  manifest: digest,
  /** Base first. */
  diffIds: z.array(digest).max(1_000),
  importedAt: z.iso.datetime(),
});

const nameSchema = z.object({
  version: z.literal(1),
  name: z.string().min(1).max(1_024),
  id: digest,
  manifest: digest,
});

/** What the store knows of an image. All of it could be found again from the manifest and the config. */
export type ImageRecord = z.infer<typeof recordSchema>;
/** A name and the image that has it. A name has one image; giving it to another one is one rename. */
export type NameRecord = z.infer<typeof nameSchema>;

/** Files of records. Readers see an old or a new one, never half a one. */
export class Records {
  readonly #layout: StoreLayout;

  constructor(layout: StoreLayout) {
    this.#layout = layout;
  }

  /** All images. A damaged record is made anew from the image's documents; when these are gone, too, the image is. */
  async images(): Promise<ImageRecord[]> {
    const result: ImageRecord[] = [];
    for (const name of await this.#layout.list("images")) {
      const id = name.replace("-", ":").replace(/\.json$/, "");
      if (isDigest(id)) {
        const record = await this.image(id);
        if (record !== undefined) result.push(record);
      }
    }
    return result;
  }

  async image(id: Digest): Promise<ImageRecord | undefined> {
    const text = await readText(this.#layout.image(id));
    if (text === undefined) return undefined;
    const record = recordSchema.safeParse(jsonOrUndefined(text));
    return record.success && record.data.id === id ? record.data : await this.#rebuild(id);
  }

  /** From the manifest among the blobs whose config it is. */
  async #rebuild(id: Digest): Promise<ImageRecord | undefined> {
    const config = await readFile(this.#layout.blob(id)).catch(() => undefined);
    if (config === undefined || sha256(config) !== id) return undefined;
    for (const name of await this.#layout.list("blobs")) {
      const manifest = name.replace("-", ":");
      if (!isDigest(manifest) || manifest === id) continue;
      const bytes = await readFile(this.#layout.blob(manifest)).catch(() => new Uint8Array(0));
      if (sha256(bytes) !== manifest || !isManifestOf(bytes, id)) continue;
      const { diffIds } = parseConfig(config);
      const record: ImageRecord = {
        version: 1,
        id,
        manifest,
        diffIds: [...diffIds],
        importedAt: new Date().toISOString(),
      };
      await this.writeImage(record);
      return record;
    }
    return undefined;
  }

  async writeImage(record: ImageRecord): Promise<void> {
    await this.#write(this.#layout.image(record.id), record);
  }

  /** All names. Damaged ones are as if they were not: the image is there still, by its id. */
  async names(): Promise<NameRecord[]> {
    const result: NameRecord[] = [];
    for (const file of await this.#layout.list("names")) {
      const text = await readText(`${this.#layout.directory("names")}/${file}`);
      const record = nameSchema.safeParse(jsonOrUndefined(text ?? ""));
      if (record.success) result.push(record.data);
    }
    return result.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async writeName(record: NameRecord): Promise<void> {
    await this.#write(this.#layout.name(record.name), record);
  }

  async removeName(name: string): Promise<void> {
    await rm(this.#layout.name(name), { force: true });
  }

  async removeImage(id: Digest): Promise<void> {
    await rm(this.#layout.image(id), { force: true });
  }

  /** Notes that the image was used now; the collector of garbage asks when that was. */
  async touch(id: Digest): Promise<void> {
    const now = new Date();
    await utimes(this.#layout.image(id), now, now).catch(() => {}); // it was removed in between
  }

  async #write(path: string, value: ImageRecord | NameRecord): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
    await writeDurably(path, bytes, this.#layout.directory("tmp"));
  }
}

function isManifestOf(bytes: Uint8Array, id: Digest): boolean {
  try {
    const manifest = parseManifest(bytes);
    return (
      manifest.kind === "manifest" &&
      manifest.config.digest === id &&
      documentKind(manifest.config.mediaType) !== "index"
    );
  } catch {
    return false;
  }
}

async function readText(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
