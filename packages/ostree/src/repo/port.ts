import type { Checksum, FileHeader, ObjectType } from "../core/objects.ts";
import type { RepoConfig } from "./config.ts";

/** A file object that can be read. */
export interface FileContent {
  readonly header: FileHeader;
  /** Bytes of content, uncompressed; 0 for a symlink. */
  readonly size: number;
  /** The content, in chunks; may be called more than once. Fails with `OstreeCorruptError` when the stored bytes end early. */
  content(): AsyncIterable<Uint8Array>;
}

/** Content as a writer takes it. */
export type ContentSource = Uint8Array | AsyncIterable<Uint8Array>;

/** Object and where its loose file is. */
export interface LooseObject {
  readonly type: ObjectType;
  readonly checksum: Checksum;
}

/** What a transaction wrote. */
export interface TransactionStats {
  readonly metadataWritten: number;
  readonly filesWritten: number;
  /** Bytes of content written, uncompressed. */
  readonly contentBytes: number;
}

/** An OSTree repository. Made by `initRepo` or `openRepo`. */
export interface Repo extends AsyncDisposable {
  readonly path: string;
  readonly mode: "archive" | "bare";
  /** How long to wait for another process's lock, milliseconds. */
  readonly lockTimeoutMs: number;
  /** As read when the repository was opened. */
  readonly config: RepoConfig;

  /** Whether the loose object is there (published, not merely staged). Its bytes are not looked at. */
  has(type: ObjectType, checksum: Checksum): Promise<boolean>;
  /** The bytes of a metadata object, verified against its checksum (`commitmeta` has none). @throws {OstreeNotFoundError | OstreeCorruptError} */
  readMetadata(type: Exclude<ObjectType, "file">, checksum: Checksum): Promise<Uint8Array>;
  /** Header and content; the checksum is verified when all of the content has been read. @throws {OstreeNotFoundError | OstreeCorruptError} */
  readFile(checksum: Checksum): Promise<FileContent>;
  /** Absolute path of the loose object's file, whether or not it exists. */
  objectPath(type: ObjectType, checksum: Checksum): string;
  /** All loose objects, in no order. */
  objects(): AsyncIterable<LooseObject>;

  /**
   * Begins to write. All writes are fsynced before `commit()` answers; `abort()` or a crash leaves nothing visible but
   * unreferenced objects. Several may run at once, also in several processes; a prune waits for them and they for it.
   * @throws {OstreeLockedError}
   */
  transaction(): Promise<RepoTransaction>;

  /** A checksum that is 64 hex digits is returned as it is; else the ref `name` or `remote:name`. */
  resolve(refOrChecksum: string): Promise<Checksum | undefined>;
  /** All refs, keyed `name` for heads and `remote:name` for remotes, sorted; with `prefix` those below or equal to it. */
  refs(prefix?: string): Promise<Map<string, Checksum>>;

  /** Whether the commit is marked as fetched in part only (`state/<commit>.commitpartial`, as upstream). */
  isPartial(commit: Checksum): Promise<boolean>;
}

/** Writes that become visible together. Disposing an unfinished transaction aborts it. */
export interface RepoTransaction extends AsyncDisposable {
  /** Like {@link Repo.has}, and also true for what this transaction staged. */
  has(type: ObjectType, checksum: Checksum): Promise<boolean>;
  /**
   * Stages a metadata object and returns its checksum. It must decode as its type. With `expected` the bytes must have
   * that checksum. For `commitmeta`, `expected` is required and is the commit's checksum; it replaces what was there.
   * @throws {OstreeCorruptError} not the expected checksum, {OstreeFormatError} not such an object
   */
  writeMetadata(type: Exclude<ObjectType, "file">, bytes: Uint8Array, expected?: Checksum): Promise<Checksum>;
  /**
   * Stages a file object and returns its checksum. Content is streamed; nothing is kept when it fails.
   * `size` is checked when given. Calls may run in parallel; bound them yourself.
   * @throws {OstreeCorruptError} not the expected checksum or size
   */
  writeFile(
    header: FileHeader,
    content: ContentSource,
    options?: { readonly expected?: Checksum; readonly size?: number },
  ): Promise<Checksum>;
  /** Sets (or with undefined removes) `name` or `remote:name` when the transaction commits. */
  setRef(ref: string, checksum: Checksum | undefined): void;
  /** Marks or unmarks a commit as partial. The mark is set at once and durably; it is removed when the transaction commits. */
  setPartial(commit: Checksum, partial: boolean): Promise<void>;
  /** Publishes, durably, the objects staged so far, so that a crash from here on does not lose them. Refs wait for `commit`. */
  checkpoint(): Promise<void>;
  /** fsyncs, publishes the objects, then moves the refs. Nothing can be written afterwards. */
  commit(): Promise<TransactionStats>;
  /** Drops what was not checkpointed. */
  abort(): Promise<void>;
}
