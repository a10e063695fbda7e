import type { Checksum } from "../core/objects.ts";
import type { Origin } from "./origin.ts";

/** The one state root: its deployments share `/var`. */
export const STATEROOT = "keelson";

/** A bootable tree: a checkout of a commit with an `/etc` of its own. */
export interface Deployment {
  /** `<commit>.<serial>`. */
  readonly id: string;
  readonly stateroot: string;
  readonly checksum: Checksum;
  /** Tells deployments of one commit apart; counted from 0. */
  readonly serial: number;
  /** Counts deployments as they are staged: a larger one is newer. */
  readonly sequence: number;
  /** The commit's `version`; undefined when it has none, or is no longer in the repository. */
  readonly version?: string;
  /** Absolute, below the root that the sysroot was opened with. */
  readonly path: string;
  /** What the kernel argument `ostree=` says to boot it. */
  readonly bootPath: string;
  /** Where it came from. */
  readonly origin: Origin;
  /** Kernel arguments it was staged with. */
  readonly kernelArgs: readonly string[];
  /** It has no `/etc` yet and cannot be booted. */
  readonly staged: boolean;
  readonly pinned: boolean;
  readonly booted: boolean;
}

const ID = /^([0-9a-f]{64})\.(0|[1-9]\d{0,5})$/;

/** Splits `<commit>.<serial>`; undefined when it is none. */
export function parseDeploymentId(id: string): { readonly checksum: Checksum; readonly serial: number } | undefined {
  const match = ID.exec(id);
  return match === null ? undefined : { checksum: match[1] as string, serial: Number(match[2]) };
}

/** The value of `ostree=` for a deployment. */
export function bootPathOf(id: string): string {
  return `/ostree/deploy/${STATEROOT}/deploy/${id}`;
}

const BOOT_PATH = new RegExp(`^/ostree/deploy/${STATEROOT}/deploy/([^/]+)/?$`);

/** The id of the deployment that a kernel command line boots; undefined when it boots none of ours. */
export function bootedIdOf(cmdline: string): string | undefined {
  // The kernel's own rule: of an argument given twice, programs take the last.
  const argument = cmdline
    .trim()
    .split(/\s+/)
    .findLast((word) => word.startsWith("ostree="));
  const id = argument === undefined ? undefined : BOOT_PATH.exec(argument.slice("ostree=".length))?.[1];
  return id === undefined || parseDeploymentId(id) === undefined ? undefined : id;
}
