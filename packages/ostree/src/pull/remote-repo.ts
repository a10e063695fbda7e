import { createHash } from "node:crypto";
import { isChecksum } from "../core/checksum.ts";
import { validateMetadataObject } from "../core/decode.ts";
import { looseObjectPath } from "../core/names.ts";
import type { Checksum, ObjectType } from "../core/objects.ts";
import { decodeSummary } from "../core/summary.ts";
import { parseRepoConfig } from "../repo/config.ts";
import { type FilezContent, parseFilez } from "../repo/filez.ts";
import { OstreeBadObjectError, OstreeBadRefError, OstreeBadRemoteError, OstreeFetchError } from "./errors.ts";
import type { HttpSource, RemoteFile } from "./http-source.ts";
import { parseSmallFilez, SMALL_BYTES_MAX, type SmallFile } from "./small-filez.ts";

/** The largest metadata object that is taken, bytes: a directory of some 100,000 entries. Upstream's limit is 128 MiB. */
export const METADATA_BYTES_MAX = 16 * 1024 * 1024;
const CONFIG_BYTES_MAX = 64 * 1024;
const SUMMARY_BYTES_MAX = METADATA_BYTES_MAX;
const REF_BYTES_MAX = 256;
/** An object file's own header: xattrs may be large, but not this large. */
const HEADER_BYTES_MAX = 1024 * 1024;
/** More than a socket gives at once. */
const PIECE_BYTES_MAX = 256 * 1024;

/** A file object that arrives, or that has arrived when it is small. */
export type RemoteContent = SmallFile | FilezContent;

/** An archive repository as a static HTTP server shows it. Follows upstream's ostree-repo-pull.c, os-image.md §2.2. */
export class RemoteRepo {
  readonly #source: HttpSource;

  constructor(source: HttpSource) {
    this.#source = source;
  }

  /** Its address, without credentials. */
  get url(): string {
    return this.#source.url;
  }

  /**
   * Makes sure that there is an archive repository.
   *
   * @throws OstreeBadRemoteError, OstreeFetchError
   */
  async checkConfig(): Promise<void> {
    const bytes = await this.#source.get("config", CONFIG_BYTES_MAX);
    const url = this.#source.urlOf("config");
    if (bytes === undefined) {
      throw new OstreeBadRemoteError(`no repository at ${this.url}: it has no file config; check the URL`, { url });
    }
    let mode: string;
    try {
      ({ mode } = parseRepoConfig(Buffer.from(bytes).toString("utf8"), this.url));
    } catch (cause) {
      throw new OstreeBadRemoteError(`no repository that can be pulled from at ${url}`, { url }, { cause });
    }
    if (mode !== "archive") {
      throw new OstreeBadRemoteError(
        `the repository ${this.url} has mode ${mode}: only archive repositories can be served; publish it as an archive`,
        { url, mode },
      );
    }
  }

  /**
   * What a ref points to: by the summary when there is one, as upstream, else by the ref's own file.
   *
   * @throws OstreeBadRefError when there is no such ref
   */
  async resolve(ref: string): Promise<Checksum> {
    const summary = await this.#source.get("summary", SUMMARY_BYTES_MAX);
    if (summary !== undefined) {
      const found = this.#decodeSummary(summary).get(ref);
      if (found !== undefined) return found;
    }
    // A summary may be older than a ref that was just published.
    const bytes = await this.#source.get(`refs/heads/${ref}`, REF_BYTES_MAX);
    const text = bytes === undefined ? undefined : Buffer.from(bytes).toString("latin1").trim();
    if (text === undefined) {
      throw new OstreeBadRefError(`${this.url} has no ref ${ref}`, { url: this.url, ref });
    }
    if (!isChecksum(text)) {
      throw new OstreeBadRefError(`the ref ${ref} of ${this.url} holds no checksum`, { url: this.url, ref });
    }
    return text;
  }

  #decodeSummary(bytes: Uint8Array): ReadonlyMap<string, Checksum> {
    try {
      return new Map(decodeSummary(bytes).refs.map((entry) => [entry.ref, entry.checksum]));
    } catch (cause) {
      const url = this.#source.urlOf("summary");
      throw new OstreeBadRemoteError(`${url} is no summary; the server's copy is damaged`, { url }, { cause });
    }
  }

  /** The detached metadata of a commit, where the signatures are; undefined when there is none. */
  async commitmeta(commit: Checksum): Promise<Uint8Array | undefined> {
    return await this.#source.get(objectPath("commitmeta", commit), METADATA_BYTES_MAX);
  }

  /**
   * A metadata object, its checksum verified. One that has another checksum is asked for once more, past any cache.
   *
   * @throws OstreeBadObjectError, OstreeFetchError
   */
  async metadata(type: "commit" | "dirtree" | "dirmeta", checksum: Checksum): Promise<Uint8Array> {
    const path = objectPath(type, checksum);
    for (const fresh of [false, true]) {
      const file = await this.#source.open(path, () => METADATA_BYTES_MAX, fresh);
      if (file === undefined) throw this.#missing(path);
      const bytes = Buffer.concat(await Array.fromAsync(file.body));
      const actual = createHash("sha256").update(bytes).digest("hex");
      if (actual === checksum) return validated(type, bytes, file.url);
      if (fresh) throw new OstreeBadObjectError(file.url, `its checksum is ${actual}`);
    }
    throw this.#missing(path);
  }

  /**
   * Gives a file object to `consume`, which verifies the checksum while it reads. An object that is found damaged is asked
   * for once more, past any cache. `bytesMax` bounds the content.
   *
   * @throws OstreeBadObjectError, OstreeFetchError, and what `consume` throws
   */
  async file(checksum: Checksum, bytesMax: number, consume: (file: RemoteContent) => Promise<void>): Promise<void> {
    const path = objectPath("file", checksum);
    for (const fresh of [false, true]) {
      try {
        await this.#file(path, bytesMax, fresh, consume);
        return;
      } catch (error) {
        if (!(error instanceof OstreeBadObjectError) || fresh) throw error;
      }
    }
  }

  async #file(
    path: string,
    bytesMax: number,
    fresh: boolean,
    consume: (file: RemoteContent) => Promise<void>,
  ): Promise<void> {
    let limit = deflatedBytesMax(bytesMax) + HEADER_BYTES_MAX;
    const remote = await this.#source.open(path, () => limit, fresh);
    if (remote === undefined) throw this.#missing(path);
    try {
      // The piece of the body that ends the header may hold some content already.
      limit = Math.min(limit, HEADER_BYTES_MAX + PIECE_BYTES_MAX);
      const file = await readContent(remote);
      if (file.size > bytesMax) {
        throw new OstreeFetchError(remote.url, "too-large", `it has ${file.size} bytes, ${bytesMax} are allowed`);
      }
      limit = deflatedBytesMax(file.size) + HEADER_BYTES_MAX;
      await consume(file);
    } catch (error) {
      throw badContent(remote.url, error);
    } finally {
      await remote.body.return?.();
    }
  }

  #missing(path: string): OstreeFetchError {
    return new OstreeFetchError(this.#source.urlOf(path), "missing", "the server does not have it");
  }
}

async function readContent({ length, body }: RemoteFile): Promise<RemoteContent> {
  if (length === undefined || length > SMALL_BYTES_MAX) return await parseFilez(body);
  const bytes = Buffer.concat(await Array.fromAsync(body));
  return parseSmallFilez(bytes) ?? (await parseFilez(once(bytes)));
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}

function objectPath(type: ObjectType, checksum: Checksum): string {
  return `objects/${looseObjectPath(type, checksum, "archive")}`;
}

/** A checksum says that it is what was meant, not that what was meant is harmless. */
function validated(type: "commit" | "dirtree" | "dirmeta", bytes: Uint8Array, url: string): Uint8Array {
  try {
    validateMetadataObject(type, bytes);
  } catch (cause) {
    throw new OstreeBadObjectError(url, `it is no ${type} that may be deployed`, { cause });
  }
  return bytes;
}

/** Deflate grows what it cannot shrink by 5 bytes a block; no encoder makes blocks smaller than some KiB. */
function deflatedBytesMax(bytes: number): number {
  return bytes + Math.ceil(bytes / 128) + 1024;
}

/** Codes of errors that say: the bytes are wrong, not the disk or the network. */
const DAMAGE = new Set(["ERR_OSTREE_CORRUPT", "ERR_OSTREE_FORMAT"]);

function badContent(url: string, error: unknown): unknown {
  const code = (error as { code?: unknown } | undefined)?.code;
  if (typeof code !== "string" || !(DAMAGE.has(code) || code.startsWith("Z_"))) return error;
  return new OstreeBadObjectError(url, "its bytes are not the object that its name promises", { cause: error });
}
