import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory of one test: `await using dir = await tempDir();`. It and all in it is removed at the end. */
export interface TempDir extends AsyncDisposable {
  readonly path: string;
  /** A path below it. */
  join(...names: string[]): string;
}

/** Makes a {@link TempDir}. With `KEELSON_KEEP=1` in the environment it is kept and its path printed. */
export async function tempDir(label = "test"): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), `keelson-${label}-`));
  return {
    path,
    join: (...names) => join(path, ...names),
    async [Symbol.asyncDispose]() {
      if (process.env["KEELSON_KEEP"] === "1") process.stderr.write(`kept ${path}\n`);
      else await rm(path, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
