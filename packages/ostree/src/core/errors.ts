import { CoreError } from "@keelson/types";

/** Bytes that are not what they should be: not in GVariant's normal form, out of bounds, or against OSTree's rules. */
export class OstreeFormatError extends CoreError<"ERR_OSTREE_FORMAT"> {
  readonly code = "ERR_OSTREE_FORMAT";
}

/** A ref, remote or checksum whose name is not allowed. */
export class OstreeNameError extends CoreError<"ERR_OSTREE_NAME"> {
  readonly code = "ERR_OSTREE_NAME";
}

/** A repository that cannot be opened or does not do what was asked of it (mode, config, version). */
export class OstreeRepoError extends CoreError<"ERR_OSTREE_REPO"> {
  readonly code = "ERR_OSTREE_REPO";
}

/** An object or ref that is not in the repository. */
export class OstreeNotFoundError extends CoreError<"ERR_OSTREE_NOT_FOUND"> {
  readonly code = "ERR_OSTREE_NOT_FOUND";
}

/** An object whose bytes do not have its checksum, or that is cut short. */
export class OstreeCorruptError extends CoreError<"ERR_OSTREE_CORRUPT"> {
  readonly code = "ERR_OSTREE_CORRUPT";
}

/** Somebody else holds the repository for longer than we were told to wait. */
export class OstreeLockedError extends CoreError<"ERR_OSTREE_LOCKED"> {
  readonly code = "ERR_OSTREE_LOCKED";
}

/** A tree that cannot be committed or checked out as asked. */
export class OstreeTreeError extends CoreError<"ERR_OSTREE_TREE"> {
  readonly code = "ERR_OSTREE_TREE";
}

/** A key or signature that cannot be used. A signature that merely does not verify is a result, not an error. */
export class OstreeSignError extends CoreError<"ERR_OSTREE_SIGN"> {
  readonly code = "ERR_OSTREE_SIGN";
}

/** A delta that does not fit, is damaged, or promises what it does not hold. Loose objects are the way out. */
export class OstreeDeltaError extends CoreError<"ERR_OSTREE_DELTA"> {
  readonly code = "ERR_OSTREE_DELTA";
}

/** The disk is full, or would have less free space than the repository's config reserves. */
export class OstreeSpaceError extends CoreError<"ERR_OSTREE_SPACE"> {
  readonly code = "ERR_OSTREE_SPACE";
}
