import { CoreError } from "@keelson/types";

/** What was wrong with an answer, or the lack of one, of a server. */
export type FetchProblem =
  | "unreachable"
  | "status"
  | "missing"
  | "timeout"
  | "too-slow"
  | "truncated"
  | "too-large"
  | "redirect";

/** A server did not give what was asked of it. `details`: the URL (without credentials), the problem, the tries made. */
export class OstreeFetchError extends CoreError<"ERR_OSTREE_FETCH"> {
  readonly code = "ERR_OSTREE_FETCH";
  readonly problem: FetchProblem;
  /** What was wrong, without the URL and the advice. */
  readonly what: string;

  constructor(url: string, problem: FetchProblem, what: string, options?: { cause?: unknown; tries?: number }) {
    const tries = options?.tries ?? 1;
    const times = tries > 1 ? ` (tried ${tries} times)` : "";
    super(`cannot fetch ${url}: ${what}${times}; ${ADVICE[problem]}`, { url, problem, tries }, options);
    this.problem = problem;
    this.what = what;
  }
}

const ADVICE: Readonly<Record<FetchProblem, string>> = {
  unreachable: "check that the server runs and that its address is right, then pull again: what arrived is kept",
  status: "see the server's log, then pull again: what arrived is kept",
  missing: "the repository is incomplete; publish the commit again",
  timeout: "check the network, then pull again: what arrived is kept",
  "too-slow": "check the network or pull from another server: what arrived is kept",
  truncated: "check the server and its proxies, then pull again: what arrived is kept",
  "too-large": "the object is refused; check that the URL is that of a repository",
  redirect: "set the URL that it redirects to, if it is to be trusted",
};

/** An object of the server is not what its name promises. Nothing of it was kept. */
export class OstreeBadObjectError extends CoreError<"ERR_OSTREE_BAD_OBJECT"> {
  readonly code = "ERR_OSTREE_BAD_OBJECT";

  constructor(url: string, what: string, options?: { cause?: unknown }) {
    super(
      `refused ${url}: ${what}; the server's copy is damaged or forged, publish the commit again`,
      { url },
      options,
    );
  }
}

/** The server's commit is not signed by a key that is trusted here. Nothing of its tree was fetched. */
export class OstreeBadSignatureError extends CoreError<"ERR_OSTREE_BAD_SIGNATURE"> {
  readonly code = "ERR_OSTREE_BAD_SIGNATURE";
}

/** The commit is older than the one that the caller said it may not be older than. Nothing of its tree was fetched. */
export class OstreeDowngradeError extends CoreError<"ERR_OSTREE_DOWNGRADE"> {
  readonly code = "ERR_OSTREE_DOWNGRADE";
}

/** The server's ref does not exist, or points to a commit that was made for other refs. */
export class OstreeBadRefError extends CoreError<"ERR_OSTREE_BAD_REF"> {
  readonly code = "ERR_OSTREE_BAD_REF";
}

/** What the URL serves is no repository that can be pulled from. */
export class OstreeBadRemoteError extends CoreError<"ERR_OSTREE_BAD_REMOTE"> {
  readonly code = "ERR_OSTREE_BAD_REMOTE";
}

/** Whether a system call failed because no space (or no quota) was left. */
export function isNoSpace(error: unknown): boolean {
  for (let e: unknown = error, depth = 0; e instanceof Error && depth < 8; e = e.cause, depth++) {
    const { code } = e as NodeJS.ErrnoException;
    if (code === "ENOSPC" || code === "EDQUOT") return true;
  }
  return false;
}
