/** One linearizable read that waits for its turn. */
export interface WaitingRead {
  readonly deadlineMs: number;
  /** The store now holds everything acknowledged before the read began. */
  readonly ready: () => void;
  readonly failed: (why: "timeout" | "timeout-applying") => void;
}

interface Round {
  readonly id: number;
  readonly reads: WaitingRead[];
  sentMs: number;
  /** Set once a quorum confirmed the leader: the index that must be applied. */
  index: number | undefined;
}

/** A round without an answer is asked again after this long: the message may be lost (upstream: readIndexRetryTime). */
export const READ_RETRY_MS = 500;

/**
 * Shares ReadIndex rounds between reads: those that come while one is under way all take the next. A read may only join a
 * round that starts after it came, or it could miss a write acknowledged in between.
 */
export class ReadRounds {
  #waiting: WaitingRead[] = [];
  #asking: Round | undefined;
  /** Confirmed, and waiting for the store to catch up; in the order of their indexes. */
  #applying: Round[] = [];
  #lastId: number;

  /** @param firstId differs between runs of a member, so that an answer to an earlier run is not taken for one of ours */
  constructor(firstId: number) {
    this.#lastId = firstId;
  }

  get pending(): number {
    return this.#waiting.length + (this.#asking?.reads.length ?? 0);
  }

  add(read: WaitingRead): void {
    this.#waiting.push(read);
  }

  /** The id of a round to be asked for now, if there is reason to. */
  next(nowMs: number): number | undefined {
    if (this.#asking !== undefined) {
      if (nowMs - this.#asking.sentMs < READ_RETRY_MS) return undefined;
      this.#asking.sentMs = nowMs;
      return this.#asking.id;
    }
    if (this.#waiting.length === 0) return undefined;
    this.#asking = { id: ++this.#lastId, reads: this.#waiting, sentMs: nowMs, index: undefined };
    this.#waiting = [];
    return this.#asking.id;
  }

  /** The leader answered round `id`. Others' and late answers are ignored. */
  confirmed(id: number, index: number, appliedIndex: number): void {
    const round = this.#asking;
    if (round === undefined || round.id !== id) return;
    this.#asking = undefined;
    round.index = index;
    this.#applying.push(round);
    this.applied(appliedIndex);
  }

  /** The store has caught up to `index`. */
  applied(index: number): void {
    while (this.#applying.length > 0 && (this.#applying[0]?.index as number) <= index) {
      for (const read of (this.#applying.shift() as Round).reads) read.ready();
    }
  }

  /**
   * The round under way may never be answered. Its reads take the next one, which is always allowed: a later round only sees
   * more. (Upstream fails them with "leader changed" and leaves the retry to the client.)
   */
  leaderChanged(): void {
    if (this.#asking === undefined) return;
    this.#waiting = [...this.#asking.reads, ...this.#waiting];
    this.#asking = undefined;
  }

  /** Gives up on reads that waited too long. */
  expire(nowMs: number): void {
    const split = (reads: WaitingRead[], why: "timeout" | "timeout-applying") => {
      const late = reads.filter((r) => r.deadlineMs <= nowMs);
      if (late.length === 0) return reads;
      for (const read of late) read.failed(why);
      return reads.filter((r) => r.deadlineMs > nowMs);
    };
    this.#waiting = split(this.#waiting, "timeout");
    if (this.#asking !== undefined) {
      const reads = split(this.#asking.reads, "timeout");
      this.#asking = reads.length === 0 ? undefined : { ...this.#asking, reads };
    }
    this.#applying = this.#applying
      .map((round) => ({ ...round, reads: split(round.reads, "timeout-applying") }))
      .filter((round) => round.reads.length > 0);
  }

  /** Ends all reads, when the member stops. */
  clear(): WaitingRead[] {
    const all = [...this.#waiting, ...(this.#asking?.reads ?? []), ...this.#applying.flatMap((r) => r.reads)];
    this.#waiting = [];
    this.#asking = undefined;
    this.#applying = [];
    return all;
  }
}
