import { lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { rm, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { assert } from "@keelson/types";
import { checkChecksum } from "../core/checksum.ts";
import { METADATA_BYTES_MAX, validateMetadataObject } from "../core/decode.ts";
import { OstreeCorruptError, OstreeFormatError, OstreeSpaceError } from "../core/errors.ts";
import { objectExtension } from "../core/names.ts";
import type { Checksum, FileHeader, ObjectType } from "../core/objects.ts";
import { fsyncPath, syncFiles, writeFileDurable } from "./durable.ts";
import { expectChecksum, fileChecksum, sha256 } from "./hash.ts";
import type { ContentSource, Repo, RepoTransaction, TransactionStats } from "./port.ts";
import { refPath, writeRef } from "./refs.ts";
import { spaceError } from "./space.ts";
import type { Stage } from "./stage.ts";
import {
  type WrittenFile,
  writeArchiveBytes,
  writeArchiveStream,
  writeBareBytes,
  writeBareStream,
  writeMetadataFile,
} from "./write-object.ts";

interface WriteFileOptions {
  readonly expected?: Checksum;
  readonly size?: number;
}

interface Staged {
  readonly path: string;
  readonly target: string;
}

/** What a transaction needs of its repository. */
export interface TransactionContext {
  readonly repo: Repo;
  readonly stage: Stage;
  /** The repository's shared lock. */
  readonly lock: Disposable;
  /** Bytes that may be written. */
  readonly budget: number;
}

/** The one {@link RepoTransaction}: objects are staged in a folder of their own, synced together, renamed, then refs move. */
export class FsTransaction implements RepoTransaction {
  readonly #context: TransactionContext;
  readonly #staged = new Map<string, Staged>();
  readonly #refs = new Map<string, Checksum | undefined>();
  readonly #unpartial = new Set<Checksum>();
  #state: "open" | "committing" | "done" = "open";
  #budget: number;
  #temporary = 0;
  #publishing: Promise<void> = Promise.resolve();
  #metadataWritten = 0;
  #filesWritten = 0;
  #contentBytes = 0;

  constructor(context: TransactionContext) {
    this.#context = context;
    this.#budget = context.budget;
  }

  async has(type: ObjectType, checksum: Checksum): Promise<boolean> {
    return this.#hasNow(type, checksum);
  }

  #hasNow(type: ObjectType, checksum: Checksum): boolean {
    if (this.#staged.has(`${checksum}.${type}`)) return true;
    return lstatSync(this.#context.repo.objectPath(type, checksum), { throwIfNoEntry: false }) !== undefined;
  }

  async writeMetadata(type: Exclude<ObjectType, "file">, bytes: Uint8Array, expected?: Checksum): Promise<Checksum> {
    this.#checkOpen();
    if (expected !== undefined) checkChecksum(expected);
    if (bytes.length > METADATA_BYTES_MAX)
      throw new OstreeFormatError(`${type} object is too large`, { bytes: bytes.length });
    if (type === "commitmeta") {
      if (expected === undefined) throw new OstreeFormatError("detached metadata needs its commit's checksum");
      validateMetadataObject(type, bytes);
      this.#stageMetadata(type, expected, bytes);
      return expected;
    }
    const checksum = sha256(bytes);
    if (expected !== undefined) expectChecksum(`${type} object`, checksum, expected);
    validateMetadataObject(type, bytes);
    if (!this.#hasNow(type, checksum)) this.#stageMetadata(type, checksum, bytes);
    return checksum;
  }

  #stageMetadata(type: ObjectType, checksum: Checksum, bytes: Uint8Array): void {
    const path = this.#temporaryPath();
    try {
      writeMetadataFile(path, bytes);
    } catch (cause) {
      rmSync(path, { force: true });
      throw spaceError(this.#context.repo.path, cause);
    }
    this.#keep(path, type, checksum);
    this.#metadataWritten++;
  }

  async writeFile(header: FileHeader, content: ContentSource, options: WriteFileOptions = {}): Promise<Checksum> {
    this.#checkOpen();
    if (content instanceof Uint8Array) return await this.#writeBytes(header, content, options);
    const path = this.#temporaryPath();
    let kept = false;
    try {
      const written = await this.#writeStream(path, header, this.#metered(content));
      this.#checkOpen();
      checkWritten(written, options);
      kept = this.#keepFile(path, written);
      return written.checksum;
    } catch (cause) {
      throw spaceError(this.#context.repo.path, cause);
    } finally {
      if (!kept) rmSync(path, { force: true });
    }
  }

  /** Hashing is cheap beside writing, and most of a new version's files are there already. */
  async #writeBytes(header: FileHeader, content: Uint8Array, options: WriteFileOptions): Promise<Checksum> {
    const { repo } = this.#context;
    const written = { checksum: fileChecksum(header, content), size: content.length };
    checkWritten(written, options);
    if (this.#hasNow("file", written.checksum)) return written.checksum;
    this.#spend(content.length);
    const path = this.#temporaryPath();
    let kept = false;
    try {
      if (repo.mode === "bare") writeBareBytes(path, header, content);
      else await writeArchiveBytes(path, header, content, repo.config.zlibLevel);
      this.#checkOpen();
      kept = this.#keepFile(path, written);
    } catch (cause) {
      throw spaceError(repo.path, cause);
    } finally {
      if (!kept) rmSync(path, { force: true });
    }
    return written.checksum;
  }

  async #writeStream(path: string, header: FileHeader, content: AsyncIterable<Uint8Array>): Promise<WrittenFile> {
    const { repo } = this.#context;
    if (repo.mode === "bare") return await writeBareStream(path, header, content);
    return await writeArchiveStream(path, header, content, repo.config.zlibLevel);
  }

  /** Counts content against the space that may be used. */
  #spend(bytes: number): void {
    this.#budget -= bytes;
    if (this.#budget >= 0) return;
    const { path, config } = this.#context.repo;
    throw new OstreeSpaceError(`writing more to ${path} would leave less free space than its config reserves`, {
      minFreeSpacePercent: config.minFreeSpacePercent,
      minFreeSpaceSize: config.minFreeSpaceSize,
    });
  }

  async *#metered(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of content) {
      this.#spend(chunk.length);
      yield chunk;
    }
  }

  /** False when somebody else wrote it meanwhile. */
  #keepFile(path: string, { checksum, size }: WrittenFile): boolean {
    if (this.#hasNow("file", checksum)) return false;
    this.#keep(path, "file", checksum);
    this.#filesWritten++;
    this.#contentBytes += size;
    return true;
  }

  setRef(ref: string, checksum: Checksum | undefined): void {
    this.#checkOpen();
    refPath(ref);
    if (checksum !== undefined) checkChecksum(checksum);
    this.#refs.set(ref, checksum);
  }

  async setPartial(commit: Checksum, partial: boolean): Promise<void> {
    this.#checkOpen();
    checkChecksum(commit);
    if (partial) {
      this.#unpartial.delete(commit);
      // Empty, as a pull of upstream's; "f" would say that its fsck found it damaged.
      await writeFileDurable(this.#partialPath(commit), "", { durable: this.#durable });
    } else {
      this.#unpartial.add(commit);
    }
  }

  async checkpoint(): Promise<void> {
    this.#checkOpen();
    await this.#publish();
  }

  async commit(): Promise<TransactionStats> {
    this.#checkOpen();
    this.#state = "committing";
    try {
      await this.#publish();
      const { path } = this.#context.repo;
      for (const commit of this.#unpartial) await rm(this.#partialPath(commit), { force: true });
      if (this.#unpartial.size > 0 && this.#durable) await fsyncPath(join(path, "state"));
      for (const [ref, checksum] of this.#refs) await writeRef(path, ref, checksum, this.#durable);
      if (this.#refs.size > 0) await touch(path);
    } finally {
      await this.#end();
    }
    return {
      metadataWritten: this.#metadataWritten,
      filesWritten: this.#filesWritten,
      contentBytes: this.#contentBytes,
    };
  }

  async abort(): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "committing";
    await this.#publishing.catch(() => {});
    await this.#end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  async #end(): Promise<void> {
    this.#state = "done";
    await this.#context.stage[Symbol.asyncDispose]();
    this.#context.lock[Symbol.dispose]();
  }

  get #durable(): boolean {
    return this.#context.repo.config.fsync;
  }

  #checkOpen(): void {
    assert(this.#state === "open", "a transaction that has ended is not written to", { repo: this.#context.repo.path });
  }

  #temporaryPath(): string {
    return join(this.#context.stage.path, `t${this.#temporary++}`);
  }

  #partialPath(commit: Checksum): string {
    return join(this.#context.repo.path, "state", `${commit}.commitpartial`);
  }

  /** Gives a temporary file its object's name. */
  #keep(temporary: string, type: ObjectType, checksum: Checksum): void {
    const { repo, stage } = this.#context;
    const path = join(stage.path, `${checksum}.${objectExtension(type, repo.mode)}`);
    renameSync(temporary, path);
    this.#staged.set(`${checksum}.${type}`, { path, target: repo.objectPath(type, checksum) });
  }

  /** One at a time: a second waits for the first and then publishes what came since. */
  async #publish(): Promise<void> {
    this.#publishing = this.#publishing.then(async () => await this.#publishNow());
    await this.#publishing;
  }

  async #publishNow(): Promise<void> {
    const batch = [...this.#staged];
    if (batch.length === 0) return;
    const { stage, repo } = this.#context;
    try {
      if (this.#durable) {
        await syncFiles(
          stage.path,
          batch.filter(([key, { path }]) => !key.endsWith(".file") || !isSymlink(path)).map(([, { path }]) => path),
        );
      }
      const directories = new Set<string>();
      let made = false;
      for (const [key, { path, target }] of batch) {
        const directory = dirname(target);
        if (!directories.has(directory)) {
          directories.add(directory);
          made = mkdirSync(directory, { recursive: true }) !== undefined || made;
        }
        renameSync(path, target);
        this.#staged.delete(key);
      }
      if (!this.#durable) return;
      // Names must be as durable as the bytes before a ref speaks of them.
      if (directories.size > 8) await syncFiles(join(repo.path, "objects"), [...directories]);
      else for (const directory of directories) await fsyncPath(directory);
      if (made) await fsyncPath(join(repo.path, "objects"));
    } catch (cause) {
      throw spaceError(repo.path, cause);
    }
  }
}

function isSymlink(path: string): boolean {
  return lstatSync(path).isSymbolicLink();
}

function checkWritten(
  written: WrittenFile,
  { expected, size }: { readonly expected?: Checksum; readonly size?: number },
) {
  if (size !== undefined && written.size !== size) {
    throw new OstreeCorruptError(`a file object has ${written.size} bytes instead of ${size}`, { expected, size });
  }
  if (expected !== undefined) expectChecksum("file object", written.checksum, expected);
}

/** Upstream's programs see by the repository's time that refs moved. */
async function touch(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now);
}
