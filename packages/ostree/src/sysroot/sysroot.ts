import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeCommit, metadataString } from "../core/decode.ts";
import { OstreeCorruptError, OstreeNotFoundError } from "../core/errors.ts";
import type { Checksum } from "../core/objects.ts";
import type { PullOptions, PullResult } from "../pull/options.ts";
import { pull } from "../pull/pull.ts";
import { checkSpace, type MinFreeSpace, readSpace, reservedBytes, type Space } from "../pull/space.ts";
import { writeFileDurable } from "../repo/durable.ts";
import { lockFile } from "../repo/lock.ts";
import { openRepo } from "../repo/open.ts";
import type { Repo } from "../repo/port.ts";
import { spaceError } from "../repo/space.ts";
import { type CleanupOptions, type CleanupReport, cleanupSysroot } from "./cleanup.ts";
import { bootedIdOf, type Deployment } from "./deployment.ts";
import { OstreeDeploymentError, OstreeSysrootError } from "./errors.ts";
import { type FinalizeReport, finalizeDeployment } from "./finalize.ts";
import { lockPath, type SysrootPaths, sysrootPaths } from "./layout.ts";
import { type FoundDeployment, listDeployments } from "./list.ts";
import { formatOrigin } from "./origin.ts";
import { removeDeployment } from "./remove.ts";
import { type StageOptions, stageDeployment } from "./stage.ts";
import { type VerifyOptions, type VerifyReport, verifyTree } from "./verify.ts";

/** How to open a sysroot. */
export interface OpenSysrootOptions {
  /**
   * The kernel command line that says what is booted. Default: /proc/cmdline where the root is `/` or `/sysroot`, else none, so
   * that a disk that is being built is not taken for the machine that builds it.
   */
  readonly cmdline?: string;
  /** How long to wait for another process that changes the sysroot. Default 300,000 ms. */
  readonly lockTimeoutMs?: number;
}

/** How {@link Sysroot.finalize} takes over local changes. */
export interface FinalizeOptions {
  /** The deployment whose `/etc` is carried over, by id. Default: the booted one. `null`: the new defaults only. */
  readonly mergeFrom?: string | null;
}

/** A finalized deployment, and what was done to it. */
export interface Finalized extends Deployment {
  /** Undefined when it was finalized before. */
  readonly report?: FinalizeReport;
}

/** How {@link Sysroot.pull} pulls. */
export interface SysrootPullOptions extends Omit<PullOptions, "collectGarbage"> {
  /** As for {@link Sysroot.cleanup}, which is run before anything is downloaded. */
  readonly keep?: readonly string[];
  /**
   * Told when garbage could not be collected because an object of what is kept is damaged. The pull goes on, for an update
   * may be what mends it.
   */
  readonly onGarbageError?: (error: unknown) => void;
}

/** Room for an update. */
export interface SysrootSpace extends Space {
  /** What must stay free. */
  readonly reservedBytes: number;
  /** What a pull may use. */
  readonly usableBytes: number;
}

/**
 * A disk's deployments and the repository that they are checkouts of. Every change is made beside what is there and becomes
 * visible with one rename, so that a crash at any instant leaves a sysroot that opens; the booted deployment is never touched.
 * One process changes it at a time (upstream's lock, `/ostree/lock`). What is booted next is the boot loader's matter.
 */
export interface Sysroot extends AsyncDisposable {
  readonly root: string;
  readonly repo: Repo;
  /** As the disk shows them now, newest first. */
  deployments(): readonly Deployment[];
  /** Undefined when the machine was booted from something else, or the sysroot is not that of this machine. */
  booted(): Deployment | undefined;
  /**
   * Deploys a commit that is in the repository, without `/etc`: nothing bootable changes.
   * @throws OstreeSysrootError no such commit, or no image; OstreeVerifyError the tree is not what the commit says
   */
  stage(commit: Checksum, options: StageOptions): Promise<Deployment>;
  /**
   * Makes a staged deployment bootable: `/etc` merged from the booted one, all of it durable; then a boot entry may point to it.
   * Does nothing to one that is finalized. Changes to the running `/etc` after it are not carried over.
   * Where both sides changed a file the local one is kept, and `report.etc.conflicts` names it.
   * @throws OstreeDeploymentError no such deployment; OstreeSpaceError
   */
  finalize(deployment: Deployment | string, options?: FinalizeOptions): Promise<Finalized>;
  /** Removes a deployment. @throws OstreeDeploymentError it is booted, pinned or unknown */
  undeploy(id: string): Promise<void>;
  /** Keeps a deployment from being removed. @throws OstreeDeploymentError unknown */
  pin(id: string): Promise<Deployment>;
  unpin(id: string): Promise<Deployment>;
  /** Removes what nothing needs: deployments, leftovers of interrupted work, refs, objects. */
  cleanup(options?: CleanupOptions): Promise<CleanupReport>;
  /** Compares a deployment's tree, all but its `/etc`, with its commit. @throws OstreeDeploymentError unknown */
  verify(id: string, options?: VerifyOptions): Promise<VerifyReport>;
  /** Pulls into the repository: garbage first, then the check of space; deltas from what is deployed. */
  pull(options: SysrootPullOptions): Promise<PullResult>;
  /** Room on the disk. */
  space(minFree?: MinFreeSpace): Promise<SysrootSpace>;
  /** Collects garbage when there is not enough room. @throws OstreeSpaceError there is not enough even so */
  ensureSpace(neededBytes: number, options?: CleanupOptions & { readonly minFree?: MinFreeSpace }): Promise<void>;
}

/** Opens the sysroot below a directory. @throws OstreeSysrootError there is none */
export async function openSysroot(rootDir: string, options: OpenSysrootOptions = {}): Promise<Sysroot> {
  const paths = sysrootPaths(rootDir);
  if (!existsSync(paths.deploy) || !existsSync(join(paths.repo, "config"))) {
    throw new OstreeSysrootError(`${paths.root} is no sysroot: it has no ${paths.deploy}; make one with initSysroot`, {
      path: paths.root,
    });
  }
  return new FsSysroot(paths, await openRepo(paths.repo), options);
}

function ownCmdline(root: string): string {
  return root === "/" || root === "/sysroot" ? readFileSync("/proc/cmdline", "utf8") : "";
}

const LOCK_TIMEOUT_MS = 300_000;

class FsSysroot implements Sysroot {
  readonly repo: Repo;
  readonly #paths: SysrootPaths;
  readonly #bootedId: string | undefined;
  readonly #lockTimeoutMs: number;
  readonly #versions = new Map<Checksum, string | undefined>();

  constructor(paths: SysrootPaths, repo: Repo, options: OpenSysrootOptions) {
    this.#paths = paths;
    this.repo = repo;
    this.#bootedId = bootedIdOf(options.cmdline ?? ownCmdline(paths.root));
    this.#lockTimeoutMs = options.lockTimeoutMs ?? LOCK_TIMEOUT_MS;
  }

  get root(): string {
    return this.#paths.root;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.repo[Symbol.asyncDispose]();
  }

  deployments(): readonly Deployment[] {
    return this.#list().map((found) => this.#describe(found));
  }

  booted(): Deployment | undefined {
    return this.deployments().find((deployment) => deployment.booted);
  }

  async stage(commit: Checksum, options: StageOptions): Promise<Deployment> {
    return await this.#locked(async () => {
      const ctx = { paths: this.#paths, repo: this.repo, deployments: this.#list() };
      return this.#describe(this.#find(await stageDeployment(ctx, commit, options)));
    });
  }

  async finalize(deployment: Deployment | string, options: FinalizeOptions = {}): Promise<Finalized> {
    const id = typeof deployment === "string" ? deployment : deployment.id;
    return await this.#locked(async () => {
      const found = this.#find(id);
      if (!found.staged) return this.#describe(found);
      // One that is booted and not there is an error: its changes must not be lost in silence.
      const { mergeFrom = this.#bootedId } = options;
      const source = mergeFrom === null || mergeFrom === undefined ? undefined : this.#find(mergeFrom);
      if (source?.staged === true) {
        throw new OstreeDeploymentError(`deployment ${source.id} has no /etc to merge from: it is only staged`, { id });
      }
      const report = await finalizeDeployment(this.#paths, found, source);
      return { ...this.#describe(this.#find(id)), report };
    });
  }

  async undeploy(id: string): Promise<void> {
    await this.#locked(async () => {
      const { booted, pinned } = this.#find(id);
      if (booted) throw new OstreeDeploymentError(`deployment ${id} is booted; boot another one first`, { id });
      if (pinned) throw new OstreeDeploymentError(`deployment ${id} is pinned; unpin it first`, { id });
      await removeDeployment(this.#paths, id);
      // Its ref and objects go with the next cleanup.
    });
  }

  async pin(id: string): Promise<Deployment> {
    return await this.#setPinned(id, true);
  }

  async unpin(id: string): Promise<Deployment> {
    return await this.#setPinned(id, false);
  }

  async #setPinned(id: string, pinned: boolean): Promise<Deployment> {
    return await this.#locked(async () => {
      const found = this.#find(id);
      if (found.pinned !== pinned) {
        await writeFileDurable(join(this.#paths.deploy, `${id}.origin`), formatOrigin({ ...found, pinned }));
      }
      return this.#describe({ ...found, pinned });
    });
  }

  async cleanup(options: CleanupOptions = {}): Promise<CleanupReport> {
    return await this.#locked(async () => await cleanupSysroot(this.#paths, this.repo, this.#list(), options));
  }

  async verify(id: string, options: VerifyOptions = {}): Promise<VerifyReport> {
    const { checksum, path } = this.#find(id);
    return await verifyTree(this.repo, checksum, path, { ignore: ["etc"], ...options });
  }

  async pull({ keep, onGarbageError, ...options }: SysrootPullOptions): Promise<PullResult> {
    const deployed = this.#list().toSorted((a, b) => Number(b.booted) - Number(a.booted));
    return await pull(this.repo, {
      deltaFrom: deployed.map(({ checksum }) => checksum),
      ...options,
      collectGarbage: async ({ commit }) => {
        try {
          await this.cleanup({ keep: [...(keep ?? deployed.map(({ id }) => id)), commit] });
        } catch (error) {
          if (!(error instanceof OstreeCorruptError || error instanceof OstreeNotFoundError)) throw error;
          onGarbageError?.(error);
        }
      },
    });
  }

  async space(minFree: MinFreeSpace = this.#minFree()): Promise<SysrootSpace> {
    const space = await readSpace(this.repo.path);
    const reserved = reservedBytes(space, minFree);
    return { ...space, reservedBytes: reserved, usableBytes: Math.max(0, space.freeBytes - reserved) };
  }

  async ensureSpace(
    neededBytes: number,
    { minFree = this.#minFree(), ...cleanup }: CleanupOptions & { readonly minFree?: MinFreeSpace } = {},
  ): Promise<void> {
    if ((await this.space(minFree)).usableBytes < neededBytes) await this.cleanup(cleanup);
    await checkSpace(this.repo.path, neededBytes, minFree);
  }

  #minFree(): MinFreeSpace {
    const { minFreeSpacePercent: percent, minFreeSpaceSize: bytes } = this.repo.config;
    return { percent, ...(bytes !== undefined && { bytes }) };
  }

  #list(): FoundDeployment[] {
    return listDeployments(this.#paths, this.#bootedId);
  }

  #find(id: string): FoundDeployment {
    const found = this.#list().find((deployment) => deployment.id === id);
    if (found !== undefined) return found;
    throw new OstreeDeploymentError(`there is no deployment ${id} in ${this.root}`, { id });
  }

  #describe(found: FoundDeployment): Deployment {
    const version = this.#version(found.checksum);
    return { ...found, ...(version !== undefined && { version }) };
  }

  /** A commit never changes, so it is read once. */
  #version(checksum: Checksum): string | undefined {
    if (this.#versions.has(checksum)) return this.#versions.get(checksum);
    let version: string | undefined;
    try {
      const { metadata } = decodeCommit(readFileSync(this.repo.objectPath("commit", checksum)));
      version = metadataString(metadata, "version");
    } catch {
      return undefined; // Listing must work on a damaged repository; fsck is what reports it.
    }
    this.#versions.set(checksum, version);
    return version;
  }

  async #locked<T>(work: () => Promise<T>): Promise<T> {
    try {
      using _lock = await lockFile(lockPath(this.#paths), "exclusive", this.#lockTimeoutMs);
      return await work();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EROFS") throw spaceError(this.root, error);
      throw new OstreeSysrootError(
        `${this.root} is mounted read-only; remount it for writing`,
        { path: this.root },
        { cause: error },
      );
    }
  }
}
