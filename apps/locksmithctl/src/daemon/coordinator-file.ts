import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/** What others on the machine may know of the coordinator. Source: locksmith pkg/coordinatorconf/conf.go. */
export type CoordinatorFileState = "starting" | "running" | "reboot-planned" | "rebooting" | "disabled";

/** `/run/update-engine/coordinator.conf`: who coordinates, how, and what it is about; to be sourced by shells. */
export class CoordinatorFile {
  readonly #path: string;
  readonly #strategy: string;

  constructor(path: string, strategy: string) {
    this.#path = path;
    this.#strategy = strategy;
  }

  /** Replaces the file in one step: a reader sees the old state or the new one. It need not survive a power cut. */
  async write(state: CoordinatorFileState): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true });
    const text = `NAME=locksmithd\nSTATE=${state}\nSTRATEGY=${this.#strategy}\n`;
    await writeFile(`${this.#path}.new`, text, { mode: 0o644 });
    await rename(`${this.#path}.new`, this.#path);
  }
}
