import type {
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
} from "@keelson/proto";
import type { LeaseId, Random } from "@keelson/types";
import { EtcdError } from "./core/errors.ts";
import { effectiveTtlS } from "./core/lessor.ts";
import { MAX_LEASE_TTL_S } from "./core/validate.ts";
import type { Member } from "./member.ts";
import { decodePeerReply, encodePeerJson, type PeerReply, type PeerRequest } from "./peer-requests.ts";

const RETRY_MS = 20;
const PEER_TIMEOUT_MS = 1_000;

/** What a lease has left. */
export interface LeaseTime {
  /** Seconds; -1 for a lease that does not exist. */
  readonly ttlS: number;
  readonly grantedTtlS: number;
  readonly keys: readonly Uint8Array[];
}

/** Leases as clients see them. All methods throw EtcdError. */
export class LeaseApi {
  readonly #member: Member;
  readonly #random: Random;

  constructor(member: Member, random: Random) {
    this.#member = member;
    this.#random = random;
  }

  async grant(req: LeaseGrantRequest): Promise<LeaseGrantResponse> {
    if (Number(req.TTL) > MAX_LEASE_TTL_S) throw new EtcdError("ERR_LEASE_TTL_TOO_LARGE");
    // Settled here, not where it is applied: members may differ in their election timeouts.
    const ttlS = effectiveTtlS(Number(req.TTL), this.#member.config.electionMs);
    const ID = req.ID === 0n ? this.#newId() : req.ID;
    const outcome = await this.#member.propose({ leaseGrant: { TTL: BigInt(ttlS), ID } });
    return outcome.response as LeaseGrantResponse;
  }

  async revoke(req: LeaseRevokeRequest): Promise<LeaseRevokeResponse> {
    return (await this.#member.propose({ leaseRevoke: req })).response as LeaseRevokeResponse;
  }

  /** Renews a lease and returns its TTL in seconds, 0 when there is no such lease. */
  async renew(id: LeaseId): Promise<number> {
    const reply = await this.#atLeader({ op: "lease-renew", id: String(id) });
    return reply.ttl ?? 0;
  }

  async timeToLive(req: LeaseTimeToLiveRequest): Promise<LeaseTimeToLiveResponse> {
    const reply = await this.#atLeader({ op: "lease-ttl", id: String(req.ID), keys: req.keys });
    const { state, term } = this.#member;
    return {
      $typeName: "etcdserverpb.LeaseTimeToLiveResponse",
      header: state.header(term),
      ID: req.ID,
      TTL: BigInt(reply.ttl ?? -1),
      grantedTTL: BigInt(reply.grantedTtl ?? 0),
      keys: (reply.keys ?? []).map((key) => new Uint8Array(Buffer.from(key, "base64"))),
    };
  }

  async leases(): Promise<LeaseLeasesResponse> {
    await this.#member.readIndex();
    const { state, term } = this.#member;
    return {
      $typeName: "etcdserverpb.LeaseLeasesResponse",
      header: state.header(term),
      leases: state.lessor.ids().map((ID) => ({ $typeName: "etcdserverpb.LeaseStatus", ID })),
    };
  }

  /** Answers, as the leader, for this member's clients and for other members. */
  async asLeader(request: PeerRequest): Promise<PeerReply> {
    const { lessor } = this.#member.state;
    if (!this.#member.isLeader || !lessor.primary) return { ok: false, code: "ERR_NOT_LEADER" };
    const id = BigInt(request.id);
    if (request.op === "lease-renew") return this.#renew(id);
    const lease = lessor.get(id);
    if (lease === undefined) return { ok: true, ttl: -1 };
    const keys = request.op === "lease-ttl" && request.keys ? lessor.keysOf(id) : [];
    return {
      ok: true,
      ttl: lessor.remainingS(id, this.#member.nowMs()) ?? -1,
      grantedTtl: lease.ttlS,
      keys: keys.toSorted((a, b) => Buffer.compare(a, b)).map((key) => Buffer.from(key).toString("base64")),
    };
  }

  async #renew(id: LeaseId): Promise<PeerReply> {
    const renewed = this.#member.state.lessor.renew(id, this.#member.nowMs());
    if (renewed === "not-primary") return { ok: false, code: "ERR_NOT_LEADER" };
    if (renewed === "not-found") return { ok: true, ttl: 0 };
    if (renewed.clearCheckpoint) {
      // The next leader must not go by what was left before this renewal.
      await this.#member.propose({ leaseCheckpoint: { checkpoints: [{ ID: id, remainingTTL: 0n }] } });
    }
    return { ok: true, ttl: renewed.ttlS };
  }

  /** Asks whoever leads, again and again while that changes. */
  async #atLeader(request: PeerRequest): Promise<Extract<PeerReply, { ok: true }>> {
    const member = this.#member;
    const deadline = member.nowMs() + member.requestTimeoutMs;
    for (;;) {
      if (member.stopped) throw new EtcdError("ERR_STOPPED");
      try {
        const reply = await this.#ask(request);
        if (reply !== undefined) return reply;
      } catch (error) {
        if (error instanceof EtcdError && error.code !== "ERR_NOT_LEADER") throw error;
        // The leader has gone or changed; the next round knows more.
      }
      if (member.nowMs() >= deadline) throw new EtcdError(member.leader === 0n ? "ERR_NO_LEADER" : "ERR_TIMEOUT");
      await new Promise<void>((resolve) => void member.clock.after(RETRY_MS, resolve));
    }
  }

  async #ask(request: PeerRequest): Promise<Extract<PeerReply, { ok: true }> | undefined> {
    const member = this.#member;
    if (member.isLeader) {
      const reply = await this.asLeader(request);
      return decodePeerReply(encodePeerJson(reply));
    }
    if (member.leader === 0n) return undefined;
    return decodePeerReply(await member.transport.request(member.leader, encodePeerJson(request), PEER_TIMEOUT_MS));
  }

  #newId(): LeaseId {
    const id = this.#random.u64() & 0x7fff_ffff_ffff_ffffn;
    return id === 0n ? 1n : id;
  }
}
