import { existsSync, lstatSync, readFileSync } from "node:fs";
import { opendir, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { checkChecksum, isChecksum } from "../core/checksum.ts";
import { METADATA_BYTES_MAX } from "../core/decode.ts";
import { OstreeCorruptError, OstreeNotFoundError } from "../core/errors.ts";
import { looseObjectPath, parseLooseName } from "../core/names.ts";
import type { Checksum, ObjectType } from "../core/objects.ts";
import type { RepoConfig } from "./config.ts";
import { expectChecksum, sha256 } from "./hash.ts";
import { lockRepo } from "./lock.ts";
import type { FileContent, LooseObject, Repo, RepoTransaction } from "./port.ts";
import { readArchiveFile, readBareFile } from "./read-file.ts";
import { listRefs, readRef } from "./refs.ts";
import { spaceError, writableBytes } from "./space.ts";
import { openStage } from "./stage.ts";
import { FsTransaction } from "./transaction.ts";

/** A repository in a directory. Holds nothing open: each transaction has its own lock. */
export class FsRepo implements Repo {
  readonly path: string;
  readonly config: RepoConfig;
  readonly lockTimeoutMs: number;

  constructor(path: string, config: RepoConfig, lockTimeoutMs: number) {
    this.path = resolve(path);
    this.config = config;
    this.lockTimeoutMs = lockTimeoutMs;
  }

  get mode(): "archive" | "bare" {
    return this.config.mode;
  }

  objectPath(type: ObjectType, checksum: Checksum): string {
    checkChecksum(checksum);
    return `${this.path}/objects/${looseObjectPath(type, checksum, this.mode)}`;
  }

  async has(type: ObjectType, checksum: Checksum): Promise<boolean> {
    return lstatSync(this.objectPath(type, checksum), { throwIfNoEntry: false }) !== undefined;
  }

  async readMetadata(type: Exclude<ObjectType, "file">, checksum: Checksum): Promise<Uint8Array> {
    const path = this.objectPath(type, checksum);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) throw new OstreeNotFoundError(`no ${type} object ${checksum}`, { type, checksum });
    if (!stat.isFile() || stat.size > METADATA_BYTES_MAX) {
      throw new OstreeCorruptError(`${type} object ${checksum} is not a file of a sane size`, { path });
    }
    const bytes = readFileSync(path);
    if (type !== "commitmeta") expectChecksum(`${type} object`, sha256(bytes), checksum);
    return bytes;
  }

  async readFile(checksum: Checksum): Promise<FileContent> {
    const path = this.objectPath("file", checksum);
    return this.mode === "bare" ? readBareFile(path, checksum) : await readArchiveFile(path, checksum);
  }

  async *objects(): AsyncGenerator<LooseObject, void, undefined> {
    for (const directory of (await readdir(join(this.path, "objects"))).sort()) {
      if (!/^[0-9a-f]{2}$/.test(directory)) continue;
      for await (const entry of await opendir(join(this.path, "objects", directory))) {
        const object = parseLooseName(directory, entry.name, this.mode);
        if (object !== undefined) yield object;
      }
    }
  }

  async transaction(): Promise<RepoTransaction> {
    const lock = await lockRepo(this, "shared");
    try {
      const budget = await writableBytes(this.path, this.config);
      const stage = await openStage(this.path, this.lockTimeoutMs);
      return new FsTransaction({ repo: this, stage, lock, budget });
    } catch (error) {
      lock[Symbol.dispose]();
      throw spaceError(this.path, error);
    }
  }

  async resolve(refOrChecksum: string): Promise<Checksum | undefined> {
    return isChecksum(refOrChecksum) ? refOrChecksum : readRef(this.path, refOrChecksum);
  }

  async refs(prefix?: string): Promise<Map<string, Checksum>> {
    const all = listRefs(this.path);
    if (prefix === undefined) return all;
    return new Map([...all].filter(([ref]) => ref === prefix || ref.startsWith(`${prefix}/`)));
  }

  async isPartial(commit: Checksum): Promise<boolean> {
    checkChecksum(commit);
    return existsSync(join(this.path, "state", `${commit}.commitpartial`));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
