import { type FileHandle, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { formatErrorChain } from "@keelson/types";
import type { Remembered } from "../core/agent/start.ts";
import { EMPTY_MEMORY, encodeMemory, type Memory, parseMemory } from "../core/memory.ts";
import { StateFileError } from "../errors.ts";
import type { StateStore } from "../ports.ts";

const BYTES_MAX = 4 * 1024 * 1024;

/**
 * The memory in one JSON file. Written beside, fsynced, renamed, directory fsynced: a crash leaves the old or the new one.
 * One that cannot be read stays where it is; the first save moves it aside to `<path>.unreadable`.
 */
export class FileStateStore implements StateStore {
  readonly #path: string;
  #isUnreadable = false;

  constructor(path: string) {
    this.#path = path;
  }

  async load(): Promise<Remembered> {
    let text: string;
    try {
      const bytes = await readFile(this.#path);
      if (bytes.length > BYTES_MAX) throw new StateFileError(`it is larger than ${BYTES_MAX} bytes`);
      text = bytes.toString("utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return { memory: EMPTY_MEMORY };
      return this.#unreadable(error);
    }
    try {
      return { memory: parseMemory(text) };
    } catch (error) {
      return this.#unreadable(error);
    }
  }

  async save(memory: Memory): Promise<void> {
    const temporary = `${this.#path}.new`;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      if (this.#isUnreadable) await rename(this.#path, `${this.#path}.unreadable`);
      this.#isUnreadable = false;
      await using file = await open(temporary, "w", 0o600);
      await file.writeFile(encodeMemory(memory));
      await file.sync();
      await rename(temporary, this.#path);
      await syncDirectory(dirname(this.#path));
    } catch (cause) {
      await rm(temporary, { force: true }).catch(() => {});
      throw new StateFileError(`cannot write ${this.#path}`, { path: this.#path }, { cause });
    }
  }

  #unreadable(error: unknown): Remembered {
    this.#isUnreadable = true;
    const why = formatErrorChain(error);
    return { unreadable: `the state file ${this.#path} cannot be read (${why}), so nothing is done by itself` };
  }
}

async function syncDirectory(path: string): Promise<void> {
  let directory: FileHandle | undefined;
  try {
    directory = await open(path, "r");
    await directory.sync();
  } finally {
    await directory?.close();
  }
}
