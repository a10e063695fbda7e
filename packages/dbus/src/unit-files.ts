import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { isTemplate, parseUnitName, type UnitFile, validateUnitName } from "@keelson/unit";

/** The directory of unit files that fleet owns: what is in it is what is loaded. */
export class UnitFiles {
  /** As systemd sees it. */
  readonly #directory: string;
  /** As this process sees it. */
  readonly #local: string;

  constructor(directory: string, root: string) {
    this.#directory = directory;
    this.#local = join(root, directory);
  }

  /** A unit's path for systemd. */
  path(name: string): string {
    return join(this.#directory, name);
  }

  /** Whether the unit is loaded. */
  has(name: string): boolean {
    return isUnitName(name) && existsSync(join(this.#local, name));
  }

  /** Names of all units that can run. */
  async names(): Promise<string[]> {
    let entries: string[];
    try {
      entries = await readdir(this.#local);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
    return entries.filter((name) => isUnitName(name) && !isTemplate(parseUnitName(name))).toSorted();
  }

  async read(name: string): Promise<string | undefined> {
    if (!isUnitName(name)) return undefined;
    try {
      return await readFile(join(this.#local, name), "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Writes a file so that neither a crash nor a reader ever sees half of it. No fsync: /run is in memory. */
  async write({ name, content }: UnitFile): Promise<void> {
    await mkdir(this.#local, { recursive: true, mode: 0o755 });
    const temporary = join(this.#local, `.${name}.${randomBytes(4).toString("hex")}`);
    try {
      const file = await open(temporary, "wx", 0o644);
      try {
        await file.writeFile(content);
      } finally {
        await file.close();
      }
      await rename(temporary, join(this.#local, name));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.#local, name), { force: true });
  }
}

function isUnitName(name: string): boolean {
  try {
    validateUnitName(name);
    return true;
  } catch {
    return false;
  }
}
