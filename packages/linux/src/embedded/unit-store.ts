import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseUnit, type UnitFile, validateUnitName } from "@keelson/unit";

/** The unit files of an embedded manager: the truth about what is loaded, and what the next manager adopts. */
export class UnitStore {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Files that are units, by name. Foreign and torn files are left alone. */
  readAll(): UnitFile[] {
    return readdirSync(this.#directory)
      .filter((name) => isUnitName(name))
      .toSorted()
      .map((name) => ({ name, content: readFileSync(join(this.#directory, name), "utf8") }))
      .filter(({ content }) => isUnitText(content));
  }

  /** Writes a file so that a crash leaves the old one or the new one. */
  write(unit: UnitFile): void {
    const path = join(this.#directory, unit.name);
    const fd = openSync(`${path}.new`, "w", 0o644);
    try {
      writeSync(fd, unit.content);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${path}.new`, path);
  }

  remove(name: string): void {
    rmSync(join(this.#directory, name), { force: true });
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

function isUnitText(text: string): boolean {
  try {
    parseUnit(text);
    return true;
  } catch {
    return false;
  }
}
