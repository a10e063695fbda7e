import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { asStoreError, isOwnerAlive, scratchName } from "./files.ts";
import type { StoreLayout } from "./layout.ts";

/**
 * Names of files that a running pull counts on before its image is recorded. They are not fsynced: a claim ends with its process.
 *
 * Together with {@link sweep} this needs no lock. A pull first claims a file and then looks whether it is there. A sweep first takes a file out
 * of its place and then reads the claims. So either the sweep sees the claim and puts the file back, or the pull sees that the file is gone.
 */
export class Claim implements AsyncDisposable {
  readonly #layout: StoreLayout;
  readonly #path: string;
  readonly #names = new Set<string>();

  constructor(layout: StoreLayout) {
    this.#layout = layout;
    this.#path = join(layout.directory("claims"), scratchName("claim"));
  }

  /** Adds files, by their names without directory. They are claimed when this returns. */
  async add(names: Iterable<string>): Promise<void> {
    for (const name of names) this.#names.add(name);
    const temporary = join(this.#layout.directory("tmp"), scratchName("claim"));
    try {
      await writeFile(temporary, JSON.stringify([...this.#names]), { flag: "wx" });
      await rename(temporary, this.#path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw asStoreError(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#path, { force: true });
  }
}

/** What running pulls claim. Claims of dead processes are removed. */
export async function readClaims(layout: StoreLayout): Promise<Set<string>> {
  const result = new Set<string>();
  for (const name of await layout.list("claims")) {
    const path = join(layout.directory("claims"), name);
    if (!isOwnerAlive(name)) {
      await rm(path, { force: true });
      continue;
    }
    const text = await readFile(path, "utf8").catch(() => "[]"); // it has just ended
    for (const claimed of JSON.parse(text) as string[]) result.add(claimed);
  }
  return result;
}
