import {
  type Checksum,
  type DirTree,
  encodeCommit,
  encodeDirMeta,
  encodeDirTree,
  encodeZlibFileHeader,
  fileChecksum,
  type Metadata,
  type Repo,
  type RepoTransaction,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
} from "../../src/index.ts";

/** Path to content; `-> target` is a symlink. Directories come by themselves. */
export type Files = Readonly<Record<string, string | Uint8Array>>;

/** How {@link commitFiles} makes a commit. */
export interface CommitFilesOptions {
  readonly ref?: string;
  readonly timestamp?: number;
  readonly metadata?: Metadata;
  readonly parent?: Checksum;
  /** Adds `ostree.sizes`. */
  readonly sizes?: boolean;
}

/** Makes a commit from files in memory, all of root's. It needs no privileges and no upstream. */
export async function commitFiles(repo: Repo, files: Files, options: CommitFilesOptions = {}): Promise<Checksum> {
  await using tx = await repo.transaction();
  const builder = new TreeBuilder(tx);
  const rootTree = await builder.tree(files);
  const sizes: Metadata = [["ostree.sizes", { type: "aay", value: builder.sizes }]];
  const checksum = await tx.writeMetadata(
    "commit",
    encodeCommit({
      metadata: [...(options.metadata ?? []), ...(options.sizes === true ? sizes : [])],
      ...(options.parent !== undefined && { parent: options.parent }),
      related: [],
      subject: "",
      body: "",
      timestamp: options.timestamp ?? 1_000,
      rootTree,
      rootMeta: await builder.meta(),
    }),
  );
  if (options.ref !== undefined) tx.setRef(options.ref, checksum);
  await tx.commit();
  return checksum;
}

class TreeBuilder {
  readonly sizes: Uint8Array[] = [];
  readonly #tx: RepoTransaction;

  constructor(tx: RepoTransaction) {
    this.#tx = tx;
  }

  async meta(): Promise<Checksum> {
    return await this.#tx.writeMetadata(
      "dirmeta",
      encodeDirMeta({ uid: uid(), gid: gid(), mode: S_IFDIR | 0o755, xattrs: [] }),
    );
  }

  async tree(files: Files): Promise<Checksum> {
    const below = new Map<string, Record<string, string | Uint8Array>>();
    const own: [string, Checksum][] = [];
    const dirs: [string, Checksum, Checksum][] = [];
    for (const [path, content] of Object.entries(files)) {
      const slash = path.indexOf("/");
      if (slash < 0) own.push([path, await this.#file(content)]);
      else {
        const name = path.slice(0, slash);
        below.set(name, { ...below.get(name), [path.slice(slash + 1)]: content });
      }
    }
    for (const [name, inner] of below) dirs.push([name, await this.tree(inner), await this.meta()]);
    const byName = (a: readonly [string, ...unknown[]], b: readonly [string, ...unknown[]]) => (a[0] < b[0] ? -1 : 1);
    const tree: DirTree = { files: own.toSorted(byName), dirs: dirs.toSorted(byName) };
    return await this.#tx.writeMetadata("dirtree", encodeDirTree(tree));
  }

  async #file(content: string | Uint8Array): Promise<Checksum> {
    const isLink = typeof content === "string" && content.startsWith("-> ");
    const bytes = isLink ? new Uint8Array() : Buffer.from(content);
    const header = {
      uid: uid(),
      gid: gid(),
      mode: isLink ? S_IFLNK | 0o777 : S_IFREG | 0o644,
      symlinkTarget: isLink ? content.slice(3) : "",
      xattrs: [],
    };
    const checksum = await this.#tx.writeFile(header, bytes, {
      expected: fileChecksum(header, bytes),
      size: bytes.length,
    });
    // Archived size: near enough for a test.
    this.sizes.push(
      Buffer.concat([
        Buffer.from(checksum, "hex"),
        varint(encodeZlibFileHeader(header, bytes.length).length + bytes.length),
        varint(bytes.length),
        Buffer.of(1),
      ]),
    );
    return checksum;
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 128)) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}

function uid(): number {
  return process.getuid?.() ?? 0;
}

function gid(): number {
  return process.getgid?.() ?? 0;
}
