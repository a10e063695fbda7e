import { broken } from "../errors.ts";
import type { Inflights } from "./inflights.ts";

/**
 * How a leader talks to one follower. Probe: one append per heartbeat interval until the log position is known.
 * Replicate: appends are sent ahead of their acknowledgements. Snapshot: nothing is sent until the snapshot arrived.
 */
export type ProgressState = "StateProbe" | "StateReplicate" | "StateSnapshot";

/** What a leader knows about one follower (upstream: tracker/progress.go). */
export class Progress {
  /** The follower's log is known to equal the leader's up to here. */
  match: number;
  /** The next entry to send; those in (match, next) are in flight. Invariant: match < next. */
  next: number;
  state: ProgressState = "StateProbe";
  /** In StateSnapshot, the index of the snapshot under way; otherwise 0. */
  pendingSnapshot = 0;
  /** Heard from since the last check of the quorum. Always true on the leader itself. */
  recentActive = false;
  /** No more appends until the follower answers a heartbeat or an append. */
  appendsPaused = false;
  isLearner: boolean;
  inflights: Inflights;
  /** The highest commit index under way to the follower. Can regress on a rejection. */
  #sentCommit = 0;

  constructor(match: number, next: number, inflights: Inflights, isLearner: boolean) {
    this.match = match;
    this.next = next;
    this.inflights = inflights;
    this.isLearner = isLearner;
  }

  /** Forgets everything but the role: a new term begins. */
  reset(match: number, next: number, inflights: Inflights): void {
    this.match = match;
    this.next = next;
    this.state = "StateProbe";
    this.pendingSnapshot = 0;
    this.recentActive = false;
    this.appendsPaused = false;
    this.inflights = inflights;
    this.#sentCommit = 0;
  }

  /** A copy that shares the in-flight window, for a configuration change that may yet be refused. */
  copy(): Progress {
    const c = new Progress(this.match, this.next, this.inflights, this.isLearner);
    c.state = this.state;
    c.pendingSnapshot = this.pendingSnapshot;
    c.recentActive = this.recentActive;
    c.appendsPaused = this.appendsPaused;
    c.#sentCommit = this.#sentCommit;
    return c;
  }

  /** Falls back to probing: from the snapshot if one was under way, else from the known match. */
  becomeProbe(): void {
    // A pending snapshot that was not reported as failed (which zeroes it) is taken as received.
    const base = this.state === "StateSnapshot" ? this.pendingSnapshot : 0;
    this.#enter("StateProbe");
    this.next = Math.max(this.match, base) + 1;
    this.#sentCommit = Math.min(this.#sentCommit, this.next - 1);
  }

  becomeReplicate(): void {
    this.#enter("StateReplicate");
    this.next = this.match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#enter("StateSnapshot");
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.#sentCommit = index;
  }

  /** Accounts for an append of `count` entries (their payload being `bytes`) that starts at `next`. */
  sentEntries(count: number, bytes: number): void {
    switch (this.state) {
      case "StateReplicate":
        if (count > 0) {
          this.next += count;
          this.inflights.add(this.next - 1, bytes);
        }
        // What fills the window, or goes out although it is full, acts as a probe: wait for an answer.
        this.appendsPaused = this.inflights.full;
        return;
      case "StateProbe":
        if (count > 0) this.appendsPaused = true;
        return;
      case "StateSnapshot":
        broken("sending append in unhandled state StateSnapshot");
    }
  }

  sentCommit(commit: number): void {
    this.#sentCommit = commit;
  }

  /** Whether telling the follower that `commit` is committed could move its commit index. */
  canBumpCommit(commit: number): boolean {
    return commit > this.#sentCommit && this.#sentCommit < this.next - 1;
  }

  /** The follower acknowledged `index`. False when that is old news. */
  maybeUpdate(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    if (this.next <= index) this.next = index + 1;
    this.appendsPaused = false;
    return true;
  }

  /**
   * The follower refused an append anchored at `rejected` and suggests `hint`. False when the refusal is stale, which
   * happens when the network reorders or repeats messages.
   */
  maybeDecreaseTo(rejected: number, hint: number): boolean {
    if (this.state === "StateReplicate") {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
      this.#sentCommit = Math.min(this.#sentCommit, this.next - 1);
      return true;
    }
    // A probing follower gets one append at a time, so only a refusal of that one counts.
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
    this.#sentCommit = Math.min(this.#sentCommit, this.next - 1);
    this.appendsPaused = false;
    return true;
  }

  get paused(): boolean {
    return this.state === "StateSnapshot" || this.appendsPaused;
  }

  /** As upstream prints it: `StateReplicate match=11 next=12 learner paused inflight=3[full]`. */
  toString(): string {
    let s = `${this.state} match=${this.match} next=${this.next}`;
    if (this.isLearner) s += " learner";
    if (this.paused) s += " paused";
    if (this.pendingSnapshot > 0) s += ` pendingSnap=${this.pendingSnapshot}`;
    if (!this.recentActive) s += " inactive";
    if (this.inflights.count > 0) {
      s += ` inflight=${this.inflights.count}`;
      if (this.inflights.full) s += "[full]";
    }
    return s;
  }

  #enter(state: ProgressState): void {
    this.appendsPaused = false;
    this.pendingSnapshot = 0;
    this.state = state;
    this.inflights.reset();
  }
}
