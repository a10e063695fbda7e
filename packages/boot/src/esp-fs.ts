import { constants } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rmdir, statfs, unlink } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

/** The little of a file system that the boot writer needs. Paths begin with `/` at the root of the ESP. */
export interface EspFs {
  /** What is in a folder; empty when there is none. */
  list(directory: string): Promise<readonly { readonly name: string; readonly isDirectory: boolean }[]>;
  /** A whole file, or undefined when there is none. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** Makes a folder, unless it is there. Its parent exists. */
  makeDirectory(path: string): Promise<void>;
  /** Makes or replaces a file. Durable after {@link sync} of the file and of its folder. */
  write(path: string, data: Uint8Array): Promise<void>;
  /** Replaces bytes inside a file, without changing its size. */
  writeAt(path: string, offset: number, data: Uint8Array): Promise<void>;
  /** Makes a file's bytes, or a folder's names, durable. */
  sync(path: string): Promise<void>;
  /** Within one folder; the new name is free. */
  rename(from: string, to: string): Promise<void>;
  removeFile(path: string): Promise<void>;
  /** The folder is empty. */
  removeDirectory(path: string): Promise<void>;
  space(): Promise<{ readonly freeBytes: number; readonly clusterBytes: number }>;
}

/** A mounted ESP. */
export class MountedEsp implements EspFs {
  readonly #root: string;

  constructor(root: string) {
    this.#root = resolve(root);
  }

  async list(directory: string) {
    const entries = await readdir(this.#at(directory), { withFileTypes: true }).catch(ifMissing([]));
    return entries.map((entry) => ({ name: entry.name, isDirectory: entry.isDirectory() }));
  }

  async read(path: string): Promise<Uint8Array | undefined> {
    return await readFile(this.#at(path)).catch(ifMissing(undefined));
  }

  async makeDirectory(path: string): Promise<void> {
    await mkdir(this.#at(path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }

  async write(path: string, data: Uint8Array): Promise<void> {
    await using file = await open(this.#at(path), "w", 0o600);
    await file.writeFile(data);
  }

  async writeAt(path: string, offset: number, data: Uint8Array): Promise<void> {
    await using file = await open(this.#at(path), "r+");
    await file.write(data, 0, data.length, offset);
  }

  async sync(path: string): Promise<void> {
    await using file = await open(this.#at(path), constants.O_RDONLY);
    await file.sync();
  }

  async rename(from: string, to: string): Promise<void> {
    await rename(this.#at(from), this.#at(to));
  }

  async removeFile(path: string): Promise<void> {
    await unlink(this.#at(path)).catch(ifMissing(undefined));
  }

  async removeDirectory(path: string): Promise<void> {
    await rmdir(this.#at(path)).catch(ifMissing(undefined));
  }

  async space() {
    const { bavail, bsize } = await statfs(this.#root);
    return { freeBytes: bavail * bsize, clusterBytes: bsize };
  }

  #at(path: string): string {
    return join(this.#root, path);
  }
}

function ifMissing<T>(value: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === "ENOENT") return value;
    throw error;
  };
}

/** Makes a folder and those above it, durably. */
export async function makeDirectories(fs: EspFs, path: string): Promise<void> {
  if (path === "/") return;
  const parent = dirname(path);
  await makeDirectories(fs, parent);
  if ((await fs.list(parent)).some((entry) => entry.isDirectory && entry.name === basename(path))) return;
  await fs.makeDirectory(path);
  await fs.sync(parent);
}

/** Writes a file and makes it durable, with its name. */
export async function writeDurably(fs: EspFs, path: string, data: Uint8Array): Promise<void> {
  await makeDirectories(fs, dirname(path));
  await fs.write(path, data);
  await fs.sync(path);
  await fs.sync(dirname(path));
}
