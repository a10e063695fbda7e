import type { LeaseId } from "@keelson/types";
import { DeadlineQueue } from "./deadline-queue.ts";

/** What every member knows of a lease, because it went through the log. */
export interface LeaseRecord {
  readonly id: LeaseId;
  /** Granted time to live, seconds. */
  readonly ttlS: number;
  /** Time left at the last checkpoint, seconds; 0 means all of it. */
  readonly remainingS: number;
}

interface Lease {
  readonly id: LeaseId;
  readonly ttlS: number;
  remainingS: number;
  /** Attached keys by their bytes as text. */
  readonly keys: Map<string, Uint8Array>;
  /** When it expires on the leader's clock; infinity elsewhere. */
  deadlineMs: number;
  /** Its expiry was proposed and is on its way through the log. */
  revoking: boolean;
  nextCheckpointMs: number;
}

/** Leases longer than this have their remaining time written to the log now and then. Seconds. */
export const CHECKPOINT_MIN_TTL_S = 60;
const CHECKPOINT_SHARE = 5;

/**
 * Leases: who exists and what hangs on them is replicated (`grant`, `revoke`, `checkpoint`, `attach`, `detach`); when they
 * expire is known to the leader alone, on its own monotonic clock, from `promote` to `demote`.
 *
 * Safety of expiry rests on three rules of the caller: promote only after an entry of the own term is applied, so that no
 * revocation of an earlier leader is still in the log; propose a revocation only as the leader of the same term, never
 * through another member; and answer a renewal only while the lessor is primary.
 */
export class Lessor {
  readonly #leases = new Map<LeaseId, Lease>();
  readonly #expiry = new DeadlineQueue();
  readonly #checkpoints = new DeadlineQueue();
  #primary = false;

  get size(): number {
    return this.#leases.size;
  }

  /** Whether this member decides about expiry. */
  get primary(): boolean {
    return this.#primary;
  }

  has(id: LeaseId): boolean {
    return this.#leases.has(id);
  }

  get(id: LeaseId): LeaseRecord | undefined {
    return this.#leases.get(id);
  }

  ids(): LeaseId[] {
    return [...this.#leases.keys()];
  }

  /** Keys attached to a lease, in no order. */
  keysOf(id: LeaseId): readonly Uint8Array[] {
    return [...(this.#leases.get(id)?.keys.values() ?? [])];
  }

  /** Adds a lease. False when the id is taken. `nowMs` is needed on a primary only. */
  grant(record: LeaseRecord, nowMs: number): boolean {
    if (this.#leases.has(record.id)) return false;
    const lease: Lease = {
      id: record.id,
      ttlS: record.ttlS,
      remainingS: record.remainingS,
      keys: new Map(),
      deadlineMs: Number.POSITIVE_INFINITY,
      revoking: false,
      nextCheckpointMs: Number.POSITIVE_INFINITY,
    };
    this.#leases.set(lease.id, lease);
    if (this.#primary) this.#schedule(lease, nowMs, 0);
    return true;
  }

  /** Removes a lease and returns its keys in byte order, or undefined when there is no such lease. */
  revoke(id: LeaseId): Uint8Array[] | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined) return undefined;
    this.#leases.delete(id);
    return [...lease.keys].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, key]) => key);
  }

  /** Notes the time left, seconds; 0 forgets an earlier note. Returns the record, or undefined when there is no such lease. */
  checkpoint(id: LeaseId, remainingS: number, nowMs: number): LeaseRecord | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined) return undefined;
    lease.remainingS = Math.min(remainingS, lease.ttlS);
    if (this.#primary) this.#scheduleCheckpoint(lease, nowMs);
    return lease;
  }

  attach(key: Uint8Array, keyText: string, id: LeaseId): void {
    this.#leases.get(id)?.keys.set(keyText, key);
  }

  detach(keyText: string, id: LeaseId): void {
    this.#leases.get(id)?.keys.delete(keyText);
  }

  /** This member leads now: every lease gets its remaining time plus `extendMs`, what an election may have cost. */
  promote(nowMs: number, extendMs: number): void {
    this.#primary = true;
    this.#expiry.clear();
    this.#checkpoints.clear();
    for (const lease of this.#leases.values()) {
      lease.revoking = false;
      this.#schedule(lease, nowMs, extendMs);
    }
  }

  /** This member does not lead any more. */
  demote(): void {
    this.#primary = false;
    this.#expiry.clear();
    this.#checkpoints.clear();
    for (const lease of this.#leases.values()) {
      lease.revoking = false;
      lease.deadlineMs = Number.POSITIVE_INFINITY;
    }
  }

  /**
   * Starts a lease's time anew. Returns the TTL in seconds and whether a checkpoint must be cleared through the log before
   * the client may be told; or why not.
   */
  renew(id: LeaseId, nowMs: number): { ttlS: number; clearCheckpoint: boolean } | "not-primary" | "not-found" {
    if (!this.#primary) return "not-primary";
    const lease = this.#leases.get(id);
    // Once its revocation is in the log the lease cannot be saved any more, although it still exists.
    if (lease === undefined || lease.revoking) return "not-found";
    lease.deadlineMs = nowMs + lease.ttlS * 1000;
    return { ttlS: lease.ttlS, clearCheckpoint: lease.remainingS > 0 };
  }

  /** Seconds left, or undefined when unknown here. Never negative. */
  remainingS(id: LeaseId, nowMs: number): number | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined || !this.#primary) return undefined;
    return Math.max(0, Math.floor((lease.deadlineMs - nowMs) / 1000));
  }

  /** Up to `max` leases whose time is over, marked as being revoked. `retry` takes one back. */
  takeExpired(nowMs: number, max: number): LeaseId[] {
    const out: LeaseId[] = [];
    while (this.#primary && out.length < max) {
      const item = this.#expiry.popDue(nowMs);
      if (item === undefined) break;
      const lease = this.#leases.get(item.id);
      if (lease === undefined || lease.revoking) continue;
      if (lease.deadlineMs > nowMs) {
        this.#expiry.push(lease.deadlineMs, lease.id); // renewed since
        continue;
      }
      lease.revoking = true;
      out.push(lease.id);
    }
    return out;
  }

  /** A revocation could not be proposed or got lost: let it expire again, after a second. */
  retry(id: LeaseId, nowMs: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined || !this.#primary) return;
    lease.revoking = false;
    this.#expiry.push(Math.max(lease.deadlineMs, nowMs + 1000), id);
  }

  /** Up to `max` long leases whose remaining time ought to be written to the log now. */
  takeCheckpoints(nowMs: number, max: number): LeaseRecord[] {
    const out: LeaseRecord[] = [];
    while (this.#primary && out.length < max) {
      const item = this.#checkpoints.popDue(nowMs);
      if (item === undefined) break;
      const lease = this.#leases.get(item.id);
      if (lease === undefined || lease.revoking || lease.nextCheckpointMs > nowMs) continue;
      const remainingS = Math.max(1, Math.ceil((lease.deadlineMs - nowMs) / 1000));
      this.#scheduleCheckpoint(lease, nowMs);
      // One that is kept alive has nearly all its time, and a note of that would have to be cleared at each renewal.
      if (remainingS <= lease.ttlS * (1 - 1 / CHECKPOINT_SHARE)) {
        out.push({ id: lease.id, ttlS: lease.ttlS, remainingS });
      }
    }
    return out;
  }

  #schedule(lease: Lease, nowMs: number, extendMs: number): void {
    const leftS = lease.remainingS > 0 ? lease.remainingS : lease.ttlS;
    lease.deadlineMs = nowMs + leftS * 1000 + extendMs;
    this.#expiry.push(lease.deadlineMs, lease.id);
    this.#scheduleCheckpoint(lease, nowMs);
  }

  #scheduleCheckpoint(lease: Lease, nowMs: number): void {
    if (lease.ttlS <= CHECKPOINT_MIN_TTL_S) return;
    const everyMs = (Math.max(CHECKPOINT_MIN_TTL_S, lease.ttlS / CHECKPOINT_SHARE) * 1000) / 2;
    lease.nextCheckpointMs = nowMs + everyMs;
    this.#checkpoints.push(lease.nextCheckpointMs, lease.id);
  }
}

/** The TTL a lease really gets, seconds: it must outlive an election (upstream: minLeaseTTL = ceil(1.5 elections)). */
export function effectiveTtlS(requestedS: number, electionTimeoutMs: number): number {
  return Math.max(requestedS, Math.ceil((electionTimeoutMs * 1.5) / 1000));
}
