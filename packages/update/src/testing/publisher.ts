import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { commitTree, generateKeys, initRepo, type KeyPair, type Repo, signCommit } from "@keelson/ostree";
import { addRelease, emptyStream, encodeReleases, type ReleaseUpdate, type StreamReleases } from "../core/release.ts";

/** What a version is made of, beside its number. */
export interface Made {
  readonly files?: Readonly<Record<string, string>>;
  readonly update?: ReleaseUpdate;
  readonly key?: KeyPair;
  /** Of the commit, seconds since 1970. Default: newer than all before. */
  readonly timestamp?: number;
  /** What the release is called, if not what its commit says. */
  readonly calledVersion?: string;
}

/** A directory as `osctl publish` leaves it: repo/ and releases/stable.json. */
export class Publisher {
  readonly root: string;
  readonly keys: KeyPair = generateKeys();
  readonly commits = new Map<string, string>();
  #stream: StreamReleases = emptyStream("stable");
  #repo: Repo | undefined;

  constructor(root: string) {
    this.root = root;
  }

  async publish(version: string, made: Made = {}): Promise<string> {
    const repo = this.#repo ?? (await initRepo(join(this.root, "repo"), { mode: "archive" }));
    this.#repo = repo;
    const tree = join(this.root, "trees", version);
    const files: Record<string, string> = {
      "usr/lib/modules/6.12/vmlinuz": `kernel of ${version}`,
      "usr/lib/modules/6.12/initramfs.img": `initramfs of ${version}`,
      "usr/lib/keelson/cmdline": "quiet",
      "usr/lib/os-release": `VERSION=${version}\n`,
      "usr/etc/motd": `welcome to ${version}\n`,
      "usr/etc/own.conf": "as shipped\n",
      ...made.files,
    };
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(tree, path)), { recursive: true });
      await writeFile(join(tree, path), text);
    }
    const timestamp = made.timestamp ?? 1_000 + this.commits.size;
    const { checksum } = await commitTree(repo, tree, {
      timestamp,
      owner: { uid: 0, gid: 0 },
      metadata: [["version", { type: "s", value: version }]],
    });
    await signCommit(repo, checksum, (made.key ?? this.keys).privateKey);
    this.commits.set(version, checksum);
    this.#stream = addRelease(
      this.#stream,
      { version: made.calledVersion ?? version, commit: checksum, timestamp },
      made.update,
    );
    await this.write(encodeReleases(this.#stream));
    return checksum;
  }

  /** By rename, as `osctl publish` does it. */
  async write(text: string): Promise<void> {
    const path = join(this.root, "releases/stable.json");
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
  }
}
