import type { Revision } from "@keelson/types";
import { crc32c } from "@keelson/types";
import { recordKey } from "./codec.ts";
import { MissingRevisionError } from "./errors.ts";
import type { Leaf } from "./index-node.ts";
import { readRevision } from "./range.ts";
import type { StoreState } from "./state.ts";
import type { HashResult } from "./types.ts";

/**
 * Hashes what is on disk for the revisions in (compact, rev] and the survivors of the compaction, as etcd's HashKV;
 * by key, then by revision, over our own records. How far a scrub has come makes no difference; a tombstone at exactly
 * the compact revision is skipped, as upstream does.
 *
 * In steps, so that a large store need not pause. A compaction in between starts it again.
 */
export class KvHashTask {
  readonly #state: StoreState;
  readonly #revision: Revision;
  #compactRevision: Revision;
  #crc = 0;
  #next = "";

  /** @throws FutureRevisionError, CompactedError */
  constructor(state: StoreState, revision: Revision) {
    this.#state = state;
    this.#revision = readRevision(state, revision, state.revision);
    this.#compactRevision = state.compaction.compactRevision;
  }

  /**
   * Reads about `budget` records more. Returns the hash when all are read.
   *
   * @throws CompactedError if the revision was compacted meanwhile; CorruptValueError, MissingRevisionError
   */
  step(budget: number): HashResult | undefined {
    const { compactRevision } = this.#state.compaction;
    if (compactRevision !== this.#compactRevision) {
      readRevision(this.#state, this.#revision, this.#state.revision);
      this.#compactRevision = compactRevision;
      this.#crc = 0;
      this.#next = "";
    }
    let left = budget;
    let paused = false;
    this.#state.index.walkAll(this.#next, (leaf, at) => {
      if (left <= 0) {
        this.#next = leaf.keys[at] as string;
        paused = true;
        return false;
      }
      left -= 1 + this.#key(leaf, at);
      return true;
    });
    if (paused) return undefined;
    return { hash: this.#crc, hashRevision: this.#revision, compactRevision };
  }

  /** Hashes a key's records; returns how many. */
  #key(leaf: Leaf, at: number): number {
    const changes: number[] = [...(leaf.hist?.[at] ?? [])];
    changes.push(leaf.mod(at), 2 * leaf.sub(at) + (leaf.version(at) === 0 ? 1 : 0));
    let hashed = 0;
    for (let i = 0; i < changes.length; i += 2) {
      const main = changes[i] as number;
      const packed = changes[i + 1] as number;
      if (main > this.#revision || !this.#kept(main, packed % 2 === 1, changes[i + 2])) continue;
      const key = recordKey(this.#state.prefix, main, Math.floor(packed / 2));
      const bytes = this.#state.backend.get(key);
      if (bytes === undefined) throw new MissingRevisionError("a record of the index is not stored", { main });
      this.#crc = crc32c(crc32c(this.#crc, key, 2), bytes);
      hashed++;
    }
    return hashed;
  }

  /** Whether a finished compaction keeps this change. */
  #kept(main: Revision, tombstone: boolean, nextMain: Revision | undefined): boolean {
    if (main > this.#compactRevision) return true;
    return !tombstone && (nextMain === undefined || nextMain > this.#compactRevision);
  }
}
