import { open, readFile } from "node:fs/promises";
import { CommandError } from "./io.ts";

/** Writes a pod's uuid where a script asked for it. */
export async function saveUuid(path: string, uuid: string): Promise<void> {
  try {
    await using file = await open(path, "w", 0o644);
    await file.writeFile(`${uuid}\n`);
  } catch (cause) {
    throw new CommandError(
      `--uuid-file-save: ${path} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}

/** The pods that a command is about: its words, and what `--uuid-file` holds. */
export async function uuidsOf(words: readonly string[], path: string | undefined): Promise<string[]> {
  if (path === undefined) return [...words];
  try {
    return [...words, (await readFile(path, "utf8")).trim()];
  } catch (cause) {
    // rkt's one error that is not 254.
    throw new CommandError(
      `--uuid-file: ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      1,
    );
  }
}
