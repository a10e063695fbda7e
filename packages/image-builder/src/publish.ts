import { sign } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import {
  generateDelta,
  initRepo,
  parsePrivateKey,
  pullLocal,
  type Repo,
  signCommit,
  updateSummary,
} from "@keelson/ostree";
import {
  addRelease,
  checkVersion,
  DEFAULT_ARCHITECTURE,
  emptyStream,
  encodeReleases,
  parseReleases,
  type ReleaseUpdate,
  releasesFileName,
  type StreamReleases,
  signatureFileName,
} from "@keelson/update/release";
import { buildCommit } from "./build.ts";
import { keyOf } from "./definition.ts";
import { ImageBuildError } from "./errors.ts";
import type { SourceOptions } from "./prepare.ts";
import { defaultCacheDir } from "./prepare.ts";
import { silentProgress } from "./progress.ts";
import { imageRef, openBuildRepo } from "./sysroot.ts";

/** Releases before it from which a machine can go to a new one by a delta. */
const DELTAS_DEFAULT = 3;

export interface PublishOptions extends SourceOptions {
  /** What an update server serves: `repo/` and `releases/` are in it, and are made. */
  readonly root: string;
  readonly version: string;
  /** The text of an ed25519 private key: 64 bytes as base64 (OSTree's form), or PEM. */
  readonly privateKey: string;
  /** Default `stable`. */
  readonly stream?: string | undefined;
  /** A commit that is built already (`ImageManifest.commit`); else it is built from the repository. */
  readonly commit?: string | undefined;
  /** Deltas from so many releases before it. Default 3. */
  readonly deltas?: number | undefined;
  /** What is said of it as an update. Default: every machine may have it at once. */
  readonly update?: Omit<ReleaseUpdate, "version"> | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** A release as it was published. */
export interface PublishedRelease {
  readonly version: string;
  readonly commit: string;
  readonly stream: string;
  readonly deltas: readonly { readonly from: string; readonly bytes: number }[];
  readonly publishMs: number;
}

/**
 * Publishes a version: its commit, signed, into the archive repository, with deltas from earlier releases; then the
 * stream's release metadata, signed, by which machines hear of it. That comes last, so that nobody hears of what is not
 * there. Publishing the same again changes nothing; a version never gets another commit.
 *
 * @throws {ImageBuildError | FormatError | OstreeSignError} that say what is wrong; nothing was announced then
 */
export async function publishImage(options: PublishOptions): Promise<PublishedRelease> {
  const startedMs = performance.now();
  const { version, privateKey, stream = "stable", deltas = DELTAS_DEFAULT, signal } = options;
  const progress = options.progress ?? silentProgress;
  checkVersion(version, "--version");
  const key = parsePrivateKey(privateKey);
  const root = resolve(options.root);
  const before = await readStream(root, stream);
  const { commit } = options.commit === undefined ? await buildCommit(options) : { commit: options.commit };
  progress.step(`publish ${version} as commit ${commit.slice(0, 12)}`);
  await mkdir(join(root, "releases"), { recursive: true });
  await using repo = await initRepo(join(root, "repo"), { mode: "archive" });
  await takeCommit(repo, options, commit);
  await signCommit(repo, commit, privateKey);
  const made: { from: string; bytes: number }[] = [];
  const earlier = before.releases.filter((release) => release.commit !== commit).slice(-deltas);
  for (const release of deltas > 0 ? earlier : []) {
    progress.step(`make a delta from ${release.version}`);
    const { bytes } = await generateDelta(repo, release.commit, commit, signal === undefined ? {} : { signal });
    made.push({ from: release.version, bytes });
  }
  await using transaction = await repo.transaction();
  transaction.setRef(imageRef("keelson", stream), commit);
  await transaction.commit();
  await updateSummary(repo);
  const timestamp = before.releases.find((release) => release.commit === commit)?.timestamp ?? nowSeconds();
  const release = { version, commit, timestamp, architecture: DEFAULT_ARCHITECTURE };
  const after = addRelease(
    before,
    options.metadata === undefined ? release : { ...release, metadata: options.metadata },
    { version, ...(options.update ?? { rollout: {} }) },
  );
  const text = encodeReleases(after);
  const signature = sign(null, Buffer.from(text), key).toString("base64");
  // The signature first: whoever reads new metadata finds its signature; one that reads old metadata finds it does not fit,
  // and asks again.
  await replaceFile(join(root, "releases", signatureFileName(stream)), `${signature}\n`);
  await replaceFile(join(root, "releases", releasesFileName(stream)), text);
  return { version, commit, stream, deltas: made, publishMs: Math.round(performance.now() - startedMs) };
}

async function takeCommit(repo: Repo, options: PublishOptions, commit: string): Promise<void> {
  const cacheDir = options.cacheDir ?? defaultCacheDir();
  await using built = await openBuildRepo(cacheDir);
  if (!(await built.has("commit", commit))) {
    throw new ImageBuildError(`commit ${commit} is not in ${built.path}: run osctl build again`, { commit });
  }
  await pullLocal(repo, built, {
    commits: [commit],
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

async function readStream(root: string, stream: string): Promise<StreamReleases> {
  const path = join(root, "releases", releasesFileName(stream));
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return text === undefined ? emptyStream(stream) : parseReleases(text);
}

async function replaceFile(path: string, content: string): Promise<void> {
  const temporary = `${path}.${keyOf(process.pid, content)}`;
  {
    await using file = await open(temporary, "w", 0o644);
    await file.writeFile(content);
    await file.sync();
  }
  await rename(temporary, path);
  await using directory = await open(dirname(path), "r");
  await directory.sync();
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
