import { createHash } from "node:crypto";
import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, digestFileName } from "@keelson/oci";
import { StoreError } from "./errors.ts";
import { syncDirectory } from "./files.ts";

/** Where rkt keeps its things. */
export const STORE_ROOT = "/var/lib/rkt";

const DIRECTORIES = ["layers", "images", "blobs", "names", "claims", "tmp"] as const;

/** Paths of the store. Every file is named by what is in it, so that there is no index that could be damaged. */
export class StoreLayout {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Makes what is missing. @throws StoreError */
  async prepare(): Promise<void> {
    try {
      for (const name of DIRECTORIES) await mkdir(join(this.root, name), { recursive: true, mode: 0o755 });
      await syncDirectory(this.root);
    } catch (cause) {
      throw new StoreError(`the image store ${this.root} cannot be made`, { root: this.root }, { cause });
    }
  }

  /** One EROFS image for each diff id. */
  layer(diffId: Digest): string {
    return join(this.root, "layers", layerFileName(diffId));
  }

  /** A manifest or a config. */
  blob(digest: Digest): string {
    return join(this.root, "blobs", digestFileName(digest));
  }

  /** What is known of an image; its id is its config's digest. */
  image(id: Digest): string {
    return join(this.root, "images", `${digestFileName(id)}.json`);
  }

  /** Which image has a name. Names hold slashes, so the file is called by their hash. */
  name(name: string): string {
    return join(this.root, "names", `${createHash("sha256").update(name).digest("hex")}.json`);
  }

  directory(name: (typeof DIRECTORIES)[number]): string {
    return join(this.root, name);
  }

  /** Names of the files of one directory; none when it is missing. */
  async list(name: (typeof DIRECTORIES)[number]): Promise<string[]> {
    const names: string[] = await readdir(this.directory(name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw new StoreError(`the image store ${this.root} cannot be read`, { root: this.root }, { cause: error });
    });
    return names.sort();
  }
}

/** `sha256-<hex>.erofs` */
export function layerFileName(diffId: Digest): string {
  return `${digestFileName(diffId)}.erofs`;
}

/** Bytes of a file; undefined when it is not there. */
export async function fileSize(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}
