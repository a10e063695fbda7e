import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Sysroot, SysrootPullOptions } from "@keelson/ostree";
import type { Target } from "../core/choose.ts";
import { PullError, UpdatePortError } from "../errors.ts";
import type { BootPort, Deployer, Puller } from "../ports.ts";

const KEYS_MAX = 64;
/** Failures that another try cannot mend: somebody would have to publish again, or change what is trusted here. */
const FINAL = new Set(["ERR_OSTREE_BAD_SIGNATURE", "ERR_OSTREE_BAD_REF", "ERR_OSTREE_DOWNGRADE"]);

/** What {@link ostreePorts} needs. */
export interface OstreePortsOptions {
  readonly sysroot: () => Promise<Sysroot>;
  readonly boot: Pick<BootPort, "facts">;
  /** Of the archive repository, `http://…/repo`. */
  readonly url: string;
  /** Directories of `*.pub`: base64 or PEM, one key a file. */
  readonly keyDirectories: readonly string[];
  /** Also take commits that are older than the booted one. */
  readonly allowDowngrade: boolean;
  /** How a deployed tree is read again and compared with its commit. Default `full`. */
  readonly verify?: "full" | "sample";
  /** How to pull, where that is not the default. */
  readonly pull?: Pick<SysrootPullOptions, "retries" | "parallel">;
}

/** `@keelson/ostree` as the agent's puller and deployer. */
export function ostreePorts(options: OstreePortsOptions): { puller: Puller; deployer: Deployer } {
  const { sysroot, boot, url } = options;
  /** What boot entries point to. */
  const inUse = async (): Promise<string[]> => {
    const { booted, previous, armed } = await boot.facts();
    return [booted.deployment, previous?.deployment, armed?.commit].filter((id) => id !== undefined);
  };
  /** The order of releases is the server's word alone; the time in the signed commit is not. */
  const notBefore = async (opened: Sysroot): Promise<{ notBefore?: number }> => {
    const booted = opened.booted();
    if (options.allowDowngrade || booted === undefined) return {};
    const { loadCommit } = await import("@keelson/ostree");
    return { notBefore: (await loadCommit(opened.repo, booted.checksum)).timestamp };
  };
  const puller: Puller = {
    pull: async (target, { signal, onProgress }) => {
      const opened = await sysroot();
      try {
        const result = await opened.pull({
          ...options.pull,
          url,
          commit: target.commit,
          ...(await notBefore(opened)),
          publicKeys: await readKeys(options.keyDirectories),
          keep: [...(await inUse()), target.commit],
          signal,
          onProgress: ({ objects, objectsKnown, bytes }) =>
            onProgress({ objectsDone: objects, objectsTotal: objectsKnown, bytesReceived: bytes }),
        });
        checkVersion(target, result.version);
      } catch (error) {
        throw toPullError(error);
      }
    },
  };
  const stage = async (commit: string, signal?: AbortSignal): Promise<string> => {
    const opened = await sysroot();
    const origin = { url };
    const kargs = opened.booted()?.kernelArgs ?? [];
    const { verify = "full" } = options;
    return (await opened.stage(commit, { origin, kargs, verify, ...(signal === undefined ? {} : { signal }) })).id;
  };
  const deployer: Deployer = {
    stage: async (target, signal) => await stage(target.commit, signal),
    finalize: async (id) => {
      const opened = await sysroot();
      const found = opened.deployments().find((d) => d.id === id);
      if (found === undefined) throw new UpdatePortError(`there is no deployment ${id}`);
      // One that was finished before has the /etc of that time: it is made anew.
      const ready = found.staged ? id : await stage(found.checksum);
      return (await opened.finalize(ready)).id;
    },
    cleanUp: async () => {
      await (await sysroot()).cleanup({ keep: await inUse() });
    },
  };
  return { puller, deployer };
}

/** The signed commit must say itself that it is that version: else an old one could be sold as new. */
function checkVersion(target: Target, version: string | undefined): void {
  if (version === target.version) return;
  const is = version === undefined ? "names no version" : `is version ${version}`;
  throw new PullError(`refused commit ${target.commit}: it ${is}, but the server calls it ${target.version}`, true);
}

function toPullError(error: unknown): PullError {
  if (error instanceof PullError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  const isFinal = typeof code === "string" && FINAL.has(code);
  return new PullError("the commit was not pulled", isFinal, { cause: error });
}

/** All `*.pub` files. @throws UpdatePortError when there is none: nothing could be trusted */
export async function readKeys(directories: readonly string[]): Promise<string[]> {
  const keys: string[] = [];
  for (const directory of directories) {
    const names = await readdir(directory).catch(() => []);
    for (const name of names.filter((n) => n.endsWith(".pub")).toSorted()) {
      keys.push((await readFile(join(directory, name), "utf8")).trim());
    }
  }
  if (keys.length === 0) throw new UpdatePortError(`no public key (*.pub) in ${directories.join(" or ")}`);
  return keys.slice(0, KEYS_MAX);
}
