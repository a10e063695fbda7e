import { link, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Checksum, ObjectType } from "../core/objects.ts";
import { syncFiles } from "../repo/durable.ts";
import { walkCommit } from "../repo/load.ts";
import type { Repo, RepoTransaction } from "../repo/port.ts";
import { OstreeBadRefError } from "./errors.ts";

/** What to take over from another repository of this machine. */
export interface PullLocalOptions {
  /** Refs of the source, `name` or `remote:name`. */
  readonly refs?: readonly string[];
  /** Commits by checksum; no ref is set for them. */
  readonly commits?: readonly Checksum[];
  /** Refs are set as `<remote>:<name>`. Default: as they are called in the source. */
  readonly remote?: string;
  /**
   * Link object files where the two have the same mode and file system, as upstream does; they are not read then. Default
   * true. With false every object is copied, and verified on the way.
   */
  readonly hardlinks?: boolean;
  readonly signal?: AbortSignal;
}

/** What {@link pullLocal} did. */
export interface PullLocalResult {
  /** By ref or checksum, as they were asked for. */
  readonly commits: ReadonlyMap<string, Checksum>;
  readonly objectsLinked: number;
  readonly objectsCopied: number;
  /** Objects that were there before. */
  readonly objectsPresent: number;
}

/**
 * Takes commits over from another local repository, hard-linked where possible, else copied and converted between archive and
 * bare. The refs move last.
 *
 * @throws OstreeBadRefError the source has no such ref; OstreeCorruptError an object of the source is damaged
 */
export async function pullLocal(dst: Repo, src: Repo, options: PullLocalOptions): Promise<PullLocalResult> {
  const commits = new Map<string, Checksum>();
  for (const name of [...(options.refs ?? []), ...(options.commits ?? [])]) {
    const checksum = await src.resolve(name);
    if (checksum === undefined || !(await src.has("commit", checksum))) {
      throw new OstreeBadRefError(`${src.path} has no ref or commit ${name}`, { repo: src.path, ref: name });
    }
    if (await src.isPartial(checksum)) {
      throw new OstreeBadRefError(`${src.path} has only a part of ${name}; pull it there first`, {
        repo: src.path,
        ref: name,
      });
    }
    commits.set(name, checksum);
  }
  await using tx = await dst.transaction();
  const copier = new LocalCopier(dst, src, tx, options);
  for (const [name, checksum] of commits) {
    await copier.commit(checksum);
    if (name !== checksum) tx.setRef(localRef(name, options.remote), checksum);
  }
  await copier.sync();
  await tx.commit();
  return { commits, ...copier.counts };
}

function localRef(name: string, remote: string | undefined): string {
  return remote === undefined ? name : `${remote}:${name.slice(name.indexOf(":") + 1)}`;
}

/** What link(2) says when a copy may do: other file systems, too many links, file systems and owners that allow none. */
const LINK_REFUSALS = new Set(["EXDEV", "EMLINK", "EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP"]);
const CHECKPOINT_BYTES = 64 * 1024 * 1024;

class LocalCopier {
  readonly counts = { objectsLinked: 0, objectsCopied: 0, objectsPresent: 0 };
  readonly #dst: Repo;
  readonly #src: Repo;
  readonly #tx: RepoTransaction;
  readonly #signal: AbortSignal | undefined;
  readonly #seen = new Set<string>();
  /** Directories that got links. */
  readonly #touched = new Set<string>();
  #canLink: boolean;
  #bytes = 0;

  constructor(dst: Repo, src: Repo, tx: RepoTransaction, { hardlinks = true, signal }: PullLocalOptions) {
    this.#dst = dst;
    this.#src = src;
    this.#tx = tx;
    this.#signal = signal;
    this.#canLink = hardlinks && dst.mode === src.mode;
  }

  async commit(checksum: Checksum): Promise<void> {
    const isWhole = (await this.#dst.has("commit", checksum)) && !(await this.#dst.isPartial(checksum));
    if (!isWhole) await this.#tx.setPartial(checksum, true);
    for await (const object of walkCommit(this.#src, checksum, this.#seen)) {
      this.#signal?.throwIfAborted();
      if (await this.#tx.has(object.type, object.checksum)) this.counts.objectsPresent++;
      else await this.#take(object.type, object.checksum);
    }
    // Signatures may have been added since.
    if (await this.#src.has("commitmeta", checksum)) {
      const bytes = await this.#src.readMetadata("commitmeta", checksum);
      await this.#tx.writeMetadata("commitmeta", bytes, checksum);
    }
    if (!isWhole) await this.#tx.setPartial(checksum, false);
  }

  /** Makes the links durable. */
  async sync(): Promise<void> {
    if (this.#touched.size === 0) return;
    await syncFiles(join(this.#dst.path, "objects"), [...this.#touched]);
  }

  async #take(type: ObjectType, checksum: Checksum): Promise<void> {
    if (this.#canLink && (await this.#link(type, checksum))) {
      this.counts.objectsLinked++;
      return;
    }
    if (type !== "file") {
      await this.#tx.writeMetadata(type, await this.#src.readMetadata(type, checksum), checksum);
    } else {
      const file = await this.#src.readFile(checksum);
      await this.#tx.writeFile(file.header, file.content(), { expected: checksum, size: file.size });
      this.#bytes += file.size;
    }
    this.counts.objectsCopied++;
    if (this.#bytes < CHECKPOINT_BYTES) return;
    this.#bytes = 0;
    await this.#tx.checkpoint();
  }

  async #link(type: ObjectType, checksum: Checksum): Promise<boolean> {
    const to = this.#dst.objectPath(type, checksum);
    try {
      await mkdir(dirname(to), { recursive: true });
      await link(this.#src.objectPath(type, checksum), to);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EEXIST") return true;
      if (code === undefined || !LINK_REFUSALS.has(code)) throw error;
      this.#canLink = code === "EMLINK";
      return false;
    }
    this.#touched.add(dirname(to));
    return true;
  }
}
