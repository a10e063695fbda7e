import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { OstreeCorruptError } from "../core/errors.ts";
import type { Checksum } from "../core/objects.ts";
import { checkout } from "../repo/checkout.ts";
import { fsyncPath, writeFileDurable } from "../repo/durable.ts";
import { loadCommit, loadDirTree } from "../repo/load.ts";
import type { Repo } from "../repo/port.ts";
import { dropDamaged } from "./drop-damaged.ts";
import { OstreeSysrootError, OstreeVerifyError } from "./errors.ts";
import { DEPLOYMENT_REFS, type SysrootPaths, TEMPORARY } from "./layout.ts";
import type { FoundDeployment } from "./list.ts";
import { formatOrigin, type Origin } from "./origin.ts";
import { removeDeployment } from "./remove.ts";
import { type VerifyOptions, verifyTree } from "./verify.ts";

/** How to stage a deployment. */
export interface StageOptions {
  readonly origin: Origin;
  /** Kernel arguments that its boot entry is to have. Default: none. */
  readonly kargs?: readonly string[];
  /** How the deployed tree is read again and compared. Default `full`; `none` where the caller does it later. */
  readonly verify?: "full" | "sample" | "none";
  readonly signal?: AbortSignal;
}

/** What stages a deployment works on. */
export interface StageContext {
  readonly paths: SysrootPaths;
  readonly repo: Repo;
  readonly deployments: readonly FoundDeployment[];
}

/**
 * Checks a commit out beside the others, verified and durable. It appears with its last step, a rename. A deployment of that
 * commit that was staged before and not finalized is taken again, when it is whole. Returns the id.
 */
export async function stageDeployment(ctx: StageContext, commit: Checksum, options: StageOptions): Promise<string> {
  try {
    return await stageWhole(ctx, commit, options);
  } catch (error) {
    throw await damageOf(ctx.repo, commit, error);
  }
}

async function stageWhole(ctx: StageContext, commit: Checksum, options: StageOptions): Promise<string> {
  const { paths, deployments } = ctx;
  await checkDeployable(ctx.repo, commit);
  const before = deployments.find((deployment) => deployment.checksum === commit && deployment.staged);
  if (before !== undefined) {
    const report = await verifyTree(ctx.repo, commit, before.path, verifyOptions(options));
    if (report.ok) {
      await writeOrigin(ctx, before.id, options, before.sequence);
      return before.id;
    }
    // It is not bootable and nothing points to it.
    await removeDeployment(paths, before.id);
  }
  const id = `${commit}.${nextSerial(deployments, commit, before?.id)}`;
  const temporary = join(paths.deploy, `${TEMPORARY.stage}${id}`);
  await rm(temporary, { recursive: true, force: true });
  await keepCommit(ctx.repo, id, commit);
  try {
    await checkout(ctx.repo, commit, temporary, {
      mode: "hardlink",
      xattrs: "restore",
      ...(options.signal && { signal: options.signal }),
    });
    await checkTree(ctx.repo, commit, temporary, options);
    const sequence = 1 + Math.max(0, ...deployments.map((deployment) => deployment.sequence));
    await writeOrigin(ctx, id, options, sequence);
    await rename(temporary, join(paths.deploy, id));
    await fsyncPath(paths.deploy);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  return id;
}

/** The commit is there as a whole and has a tree of the right shape. */
async function checkDeployable(repo: Repo, commit: Checksum): Promise<void> {
  if (!(await repo.has("commit", commit)) || (await repo.isPartial(commit))) {
    throw new OstreeSysrootError(`commit ${commit} is not in ${repo.path} as a whole; pull it first`, { commit });
  }
  const { files, dirs } = await loadDirTree(repo, (await loadCommit(repo, commit)).rootTree);
  // A deployment has its /etc made from /usr/etc; until then, that there is none says that it is only staged.
  if ([...files, ...dirs].some(([name]) => name === "etc")) {
    throw new OstreeSysrootError(`commit ${commit} has /etc; an image has its defaults in /usr/etc`, { commit });
  }
}

async function checkTree(repo: Repo, commit: Checksum, dir: string, options: StageOptions): Promise<void> {
  if (options.verify === "none") return;
  const { ok, problems } = await verifyTree(repo, commit, dir, verifyOptions(options));
  if (!ok) throw new OstreeVerifyError(problems.slice(0, 3).join("; "), { commit, problems });
}

/** When the repository's own objects are damaged, they are dropped, so that pulling again mends it. */
async function damageOf(repo: Repo, commit: Checksum, error: unknown): Promise<unknown> {
  const isDamaged = error instanceof OstreeVerifyError || error instanceof OstreeCorruptError;
  if (!isDamaged) return error;
  const dropped = await dropDamaged(repo, commit);
  const advice =
    dropped > 0
      ? `${dropped} damaged objects were removed from ${repo.path}, pull again to get them anew and look at the disk's health`
      : "the repository is whole, so the disk lost what was written; look at its health and try again";
  return new OstreeVerifyError(
    `the tree deployed from commit ${commit} is not what the commit says: ${advice}`,
    { commit, dropped, ...error.details },
    { cause: error },
  );
}

function verifyOptions({ verify, signal }: StageOptions): VerifyOptions {
  return { mode: verify === "sample" || verify === "none" ? "sample" : "full", ...(signal && { signal }) };
}

function nextSerial(deployments: readonly FoundDeployment[], commit: Checksum, replaced: string | undefined): number {
  const used = deployments.filter(({ checksum, id }) => checksum === commit && id !== replaced);
  return 1 + Math.max(-1, ...used.map(({ serial }) => serial));
}

/** A ref of its own, so that no prune takes away what the deployment's files are links to, and fsck looks at them. */
async function keepCommit(repo: Repo, id: string, commit: Checksum): Promise<void> {
  await using tx = await repo.transaction();
  tx.setRef(`${DEPLOYMENT_REFS}/${id}`, commit);
  await tx.commit();
}

async function writeOrigin(
  { paths }: StageContext,
  id: string,
  options: StageOptions,
  sequence: number,
): Promise<void> {
  const { origin, kargs = [] } = options;
  const text = formatOrigin({ origin, kernelArgs: kargs, pinned: false, sequence });
  await writeFileDurable(join(paths.deploy, `${id}.origin`), text);
}
