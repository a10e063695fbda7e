import type { Clock } from "@keelson/types";
import type { Checksum } from "../core/objects.ts";
import type { MinFreeSpace } from "./space.ts";
import type { SpeedLimits } from "./speed-guard.ts";

/** How far a pull is. */
export interface PullProgress {
  readonly phase: "resolve" | "space" | "delta" | "objects" | "done";
  /** Objects of the commit that are there now, those that were there before included. */
  readonly objects: number;
  /** Objects of the commit known so far; it grows while the tree is walked. */
  readonly objectsKnown: number;
  /** Bytes that arrived over the network. */
  readonly bytes: number;
  /** Bytes that will have arrived; only where the server says it (a delta, or a commit with `ostree.sizes`). */
  readonly bytesTotal?: number;
}

/** What {@link PullOptions.collectGarbage} is told. */
export interface GarbageHint {
  /** The commit that is about to be pulled. What arrived of it before must be kept. */
  readonly commit: Checksum;
  /** Bytes it needs on the disk, where that is known. */
  readonly neededBytes?: number;
}

/** What to pull, from where, and what to insist on. */
export interface PullOptions {
  /** The repository's address, `http:` or `https:`. */
  readonly url: string;
  /** A branch of the server. One of `ref` and `commit` is given; with both, the ref is set but the commit is pulled. */
  readonly ref?: string;
  readonly commit?: Checksum;
  /** The ref is set as `<remote>:<ref>`; without it, as a branch of the repository itself. */
  readonly remote?: string;
  /** Ed25519 keys in base64, one of which must have signed the commit. */
  readonly publicKeys?: readonly string[];
  /** Keys whose signatures no longer count. */
  readonly revokedKeys?: readonly string[];
  /** Take commits without any signature. Not for machines. Default false: without keys everything is refused. */
  readonly allowUnsigned?: boolean;
  /** Refuse a commit whose timestamp (seconds since the epoch) is before this. Upstream: `--timestamp-check`. */
  readonly notBefore?: number;
  /** Files fetched at the same time. Default 8. */
  readonly parallel?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: PullProgress) => void;
  /** Look for a delta from a commit that is here. Default true. */
  readonly useDeltas?: boolean;
  /** Commits that a delta may start from, best first, beside the one that the ref points to. At most 4 are tried. */
  readonly deltaFrom?: readonly Checksum[];
  /** What must stay free. Default: what the repository's config says, 3 % when it says nothing. */
  readonly minFreeSpace?: MinFreeSpace;
  /** Called before space is checked, with what is about to be pulled. */
  readonly collectGarbage?: (hint: GarbageHint) => Promise<void>;
  /** Further tries of a request after a failure that may pass. Default 5, as upstream. */
  readonly retries?: number;
  /** Before the first retry; doubled before each further one, up to 10 s. Default 500 ms. */
  readonly retryDelayMs?: number;
  /** Default: 30 s without a byte, or less than 1,000 bytes per second over 30 s, as upstream. */
  readonly speed?: Partial<SpeedLimits>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Certificate authorities in PEM instead of the system's. */
  readonly ca?: string | Uint8Array;
  /** The largest file object that is taken, bytes. Default 4 GiB. */
  readonly fileBytesMax?: number;
  readonly clock?: Clock;
}

/** What a pull did. */
export interface PullResult {
  readonly commit: Checksum;
  /** As it was set; undefined when a commit was pulled by its checksum alone. */
  readonly ref?: string;
  /** The commit's `version`. */
  readonly version?: string;
  /** The commit's, seconds since the epoch. */
  readonly timestamp: number;
  /** The key that signed it, base64; undefined with `allowUnsigned`. */
  readonly signedBy?: string;
  /** Nothing was to be fetched. */
  readonly wasComplete: boolean;
  readonly metadataFetched: number;
  readonly filesFetched: number;
  /** Bodies only. */
  readonly bytesTransferred: number;
  /** The commit that the delta started from; `null` for one from nothing; undefined when loose objects were fetched alone. */
  readonly deltaFrom?: Checksum | null;
}
