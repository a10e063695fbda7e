import { CoreError } from "@keelson/types";

/** The directory is no sysroot, or something in it is not as it must be. */
export class OstreeSysrootError extends CoreError<"ERR_OSTREE_SYSROOT"> {
  readonly code = "ERR_OSTREE_SYSROOT";
}

/** What was asked of a deployment cannot be done to it: it is booted, pinned, gone, or not finalized. Nothing was changed. */
export class OstreeDeploymentError extends CoreError<"ERR_OSTREE_DEPLOYMENT"> {
  readonly code = "ERR_OSTREE_DEPLOYMENT";
}

/** A deployed tree is not what its commit says. `details.problems`: the first of them. */
export class OstreeVerifyError extends CoreError<"ERR_OSTREE_VERIFY"> {
  readonly code = "ERR_OSTREE_VERIFY";
}
