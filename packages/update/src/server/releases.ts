import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { formatErrorChain, type Logger } from "@keelson/types";
import { parseReleases, releasesFileName, type StreamReleases } from "../core/release.ts";

const FILE_BYTES_MAX = 8 * 1024 * 1024;
const STREAMS_MAX = 256;

interface Loaded {
  /** Changes with the file. */
  readonly stamp: string;
  readonly releases: StreamReleases | undefined;
}

/**
 * `releases/<stream>.json`, read again when it changes. While a new one cannot be read, the last good one is served: a
 * broken publish must not look like the end of a stream.
 */
export class ReleasesDirectory {
  readonly #directory: string;
  readonly #logger: Logger;
  readonly #loaded = new Map<string, Loaded>();

  constructor(directory: string, logger: Logger) {
    this.#directory = directory;
    this.#logger = logger;
  }

  /** Undefined: there is no such stream. @throws FormatError for a name that is none */
  async stream(name: string): Promise<StreamReleases | undefined> {
    const path = join(this.#directory, releasesFileName(name));
    const info = await stat(path).catch(() => undefined);
    if (info?.isFile() !== true) {
      this.#loaded.delete(name);
      return undefined;
    }
    const stamp = `${info.ino} ${info.size} ${info.mtimeMs}`;
    const known = this.#loaded.get(name);
    if (known?.stamp === stamp) return known.releases;
    const releases = (await this.#read(path, name)) ?? known?.releases;
    if (this.#loaded.size >= STREAMS_MAX) this.#loaded.clear();
    this.#loaded.set(name, { stamp, releases });
    return releases;
  }

  async #read(path: string, name: string): Promise<StreamReleases | undefined> {
    try {
      const bytes = await readFile(path);
      if (bytes.length > FILE_BYTES_MAX) throw new Error(`it is larger than ${FILE_BYTES_MAX} bytes`);
      const releases = parseReleases(bytes.toString("utf8"));
      if (releases.stream !== name) throw new Error(`it says that it is stream ${releases.stream}`);
      const newest = releases.releases.at(-1)?.version ?? "none";
      this.#logger.info("release metadata", { stream: name, releases: releases.releases.length, newest });
      return releases;
    } catch (error) {
      const hint = "publish again; the last good one is served until then";
      this.#logger.error(`${path} cannot be used: ${hint}`, { error: formatErrorChain(error) });
      return undefined;
    }
  }
}
