import { decodeDirTree } from "../core/decode.ts";
import { type Checksum, type Commit, S_IFLNK, S_IFMT } from "../core/objects.ts";
import type { Repo, RepoTransaction } from "../repo/port.ts";
import { WorkPool } from "./pool.ts";
import type { RemoteRepo } from "./remote-repo.ts";
import type { SpaceBudget } from "./space.ts";

/** What {@link fetchTree} works with. */
export interface FetchTreeOptions {
  readonly repo: Repo;
  readonly tx: RepoTransaction;
  readonly remote: RemoteRepo;
  readonly space: SpaceBudget;
  readonly parallel: number;
  readonly fileBytesMax: number;
  readonly counts: FetchCounts;
  /** Called after each object. */
  readonly onObject: () => void;
  /** Cancels what is in flight, at the first failure. */
  readonly cancel: (error: unknown) => void;
}

/** Counted while objects arrive. */
export interface FetchCounts {
  known: number;
  here: number;
  metadataFetched: number;
  filesFetched: number;
}

interface Item {
  readonly type: "dirtree" | "dirmeta" | "file";
  readonly checksum: Checksum;
}

/** What has arrived is made durable after so many bytes or objects, so that a crash costs no more than this. */
const CHECKPOINT_BYTES = 64 * 1024 * 1024;
const CHECKPOINT_OBJECTS = 2_000;

/** Fetches what is missing of a commit's tree. Each object is verified before it is kept. */
export async function fetchTree(commit: Commit, options: FetchTreeOptions): Promise<void> {
  const { counts, parallel } = options;
  const seen = new Set<string>();
  const checkpoint = checkpointer(options.tx);
  const add = (type: Item["type"], checksum: Checksum) => {
    const key = `${type} ${checksum}`;
    if (seen.has(key)) return;
    seen.add(key);
    counts.known++;
    pool.add({ type, checksum });
  };
  const work = async (item: Item) => {
    if (item.type === "file") await takeFile(item.checksum, options, checkpoint);
    else {
      const bytes = await takeMetadata(item.type, item.checksum, options, checkpoint);
      if (item.type === "dirtree") {
        const tree = decodeDirTree(bytes);
        for (const [, file] of tree.files) add("file", file);
        for (const [, sub, meta] of tree.dirs) {
          add("dirmeta", meta);
          add("dirtree", sub);
        }
      }
    }
    counts.here++;
    options.onObject();
  };
  const pool: WorkPool<Item> = new WorkPool(parallel, work, options.cancel);
  add("dirmeta", commit.rootMeta);
  add("dirtree", commit.rootTree);
  await pool.run();
}

async function takeMetadata(
  type: "dirtree" | "dirmeta",
  checksum: Checksum,
  { repo, tx, remote, space, counts }: FetchTreeOptions,
  checkpoint: Checkpoint,
): Promise<Uint8Array> {
  // Read even when it is there: what it names may not be, after a pull that was interrupted.
  if (await repo.has(type, checksum)) return await repo.readMetadata(type, checksum);
  const bytes = await remote.metadata(type, checksum);
  using _taken = await space.take(bytes.length);
  await tx.writeMetadata(type, bytes, checksum);
  counts.metadataFetched++;
  await checkpoint(bytes.length);
  return bytes;
}

async function takeFile(checksum: Checksum, options: FetchTreeOptions, checkpoint: Checkpoint): Promise<void> {
  const { repo, tx, remote, space, fileBytesMax, counts } = options;
  if (await repo.has("file", checksum)) return;
  let size = 0;
  await remote.file(checksum, fileBytesMax, async (file) => {
    using _taken = await space.take(file.size);
    // Nothing stands after a symlink's header, not even deflate's own end.
    const isLink = (file.header.mode & S_IFMT) === S_IFLNK;
    await tx.writeFile(file.header, isLink ? new Uint8Array() : file.content, { expected: checksum, size: file.size });
    ({ size } = file);
  });
  counts.filesFetched++;
  await checkpoint(size);
}

type Checkpoint = (bytes: number) => Promise<void>;

function checkpointer(tx: RepoTransaction): Checkpoint {
  let bytes = 0;
  let objects = 0;
  return async (written) => {
    bytes += written;
    objects++;
    if (bytes < CHECKPOINT_BYTES && objects < CHECKPOINT_OBJECTS) return;
    bytes = 0;
    objects = 0;
    await tx.checkpoint();
  };
}
