import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { checkOptions } from "@keelson/boot";
import type { BaseLayer } from "./base.ts";
import { hashTree, type ImageDefinition, keyOf, readDefinition } from "./definition.ts";
import { buildLockedBase } from "./locked-base.ts";
import { buildNode, bundlePrograms, type Programs } from "./programs.ts";
import { type Progress, silentProgress } from "./progress.ts";
import { run } from "./run.ts";

/** What makes a build differ from the repository's. */
export interface VariantOptions {
  /** The image's version; default from package.json and git. */
  readonly version?: string | undefined;
  /** Files with public keys (ed25519, base64 or PEM) by which updates are trusted; they go to /usr/share/keelson/keys. */
  readonly trust?: readonly string[] | undefined;
  /** More kernel arguments for every machine of this version. */
  readonly kernelArguments?: string | undefined;
  /** For tests: a folder whose files are laid over the root file system. */
  readonly overlay?: string | undefined;
  /** For tests: another first program of the initramfs. */
  readonly initramfsInit?: string | undefined;
}

/** Where the parts of a build come from. */
export interface SourceOptions extends VariantOptions {
  /** The repository: `image/`, `apps/`, `scripts/bundle.ts` and the workspace's Node. */
  readonly repository: string;
  readonly cacheDir?: string | undefined;
  readonly mirror?: string | undefined;
  readonly suite?: string | undefined;
  /** Time of a snapshot below the mirror, such as 20260101T000000Z. */
  readonly snapshot?: string | undefined;
  readonly updateLock?: boolean;
  readonly frozen?: boolean;
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** All that a root file system is made of. */
export interface Parts {
  readonly cacheDir: string;
  readonly definition: ImageDefinition;
  readonly base: BaseLayer;
  readonly node: { readonly path: string; readonly version: string };
  readonly programs: Programs;
  readonly version: string;
  /** Seconds since 1970 that no file is newer than. */
  readonly epoch: number;
  readonly overlay: string | undefined;
  readonly trust: readonly string[];
  /** Hashes of what goes in. */
  readonly inputs: { base: string; definition: string; programs: string; variant: string };
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** Gets everything ready. */
export async function prepareParts(options: SourceOptions): Promise<Parts> {
  const progress = options.progress ?? silentProgress;
  const repository = resolve(options.repository);
  const cacheDir = options.cacheDir ?? defaultCacheDir();
  const read = await readDefinition(join(repository, "image"));
  const definition = applyVariant(read, options);
  const base = await buildLockedBase(definition, read.settings.suite, { ...options, cacheDir, progress });
  const node = await buildNode(repository, cacheDir, progress);
  progress.step("bundle the programs");
  const programs = await bundlePrograms(repository, cacheDir, progress);
  const source = await describeSource(repository);
  const overlay = options.overlay === undefined ? undefined : resolve(options.overlay);
  const trust = (options.trust ?? []).map((file) => resolve(file));
  const inputs = {
    base: keyOf(base.lock, definition.settings),
    definition: await hashTree(definition.directory),
    programs: await hashTree(programs.directory),
    variant: keyOf(
      options.version ?? null,
      overlay === undefined ? null : await hashTree(overlay),
      await readFile(definition.initramfsInit, "utf8"),
      definition.kernelArguments,
      await Promise.all(trust.map((file) => readFile(file, "utf8"))),
    ),
  };
  const { version = source.version, signal } = options;
  const parts = { cacheDir, definition, base, node, programs, version, epoch: source.epoch };
  return { ...parts, overlay, trust, inputs, progress, signal };
}

function applyVariant(read: ImageDefinition, options: SourceOptions): ImageDefinition {
  const { suite, initramfsInit, kernelArguments } = options;
  if (kernelArguments !== undefined) checkOptions(kernelArguments);
  return {
    ...read,
    ...(suite === undefined ? {} : { settings: { ...read.settings, suite } }),
    ...(initramfsInit === undefined ? {} : { initramfsInit: resolve(initramfsInit) }),
    ...(kernelArguments === undefined ? {} : { kernelArguments: `${read.kernelArguments} ${kernelArguments}` }),
  };
}

export function defaultCacheDir(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "keelson/image");
}

/** Version and time of the source: from git where there is one, so that equal commits give equal images. */
async function describeSource(repository: string): Promise<{ epoch: number; version: string }> {
  const { version } = JSON.parse(await readFile(join(repository, "package.json"), "utf8")) as { version: string };
  const git = await run("git", ["-C", repository, "log", "-1", "--format=%ct %h"]).catch(() => "0 unknown");
  const [time = "0", commit = "unknown"] = git.trim().split(" ");
  return { epoch: Number(time), version: `${version}+${commit}` };
}
