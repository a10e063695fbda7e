import type { MemberId } from "@keelson/types";
import { EtcdError } from "./errors.ts";

/** A member as the replicated state knows it. */
export interface MemberInfo {
  readonly id: MemberId;
  /** Empty until the member has started once and published it. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

/** A change of the membership as it travels in the context of a raft ConfChange. */
export type MemberChange =
  | { readonly type: "add"; readonly member: MemberInfo }
  | { readonly type: "promote"; readonly id: MemberId }
  | { readonly type: "remove"; readonly id: MemberId }
  | { readonly type: "update"; readonly id: MemberId; readonly peerUrls: readonly string[] };

/** Learners that a cluster may have at a time (upstream: --max-learners). */
export const MAX_LEARNERS = 1;

/** The members of the cluster: the one source of truth, changed only by applying entries. */
export class Membership {
  readonly #members = new Map<MemberId, MemberInfo>();
  readonly #removed = new Set<MemberId>();

  get size(): number {
    return this.#members.size;
  }

  get(id: MemberId): MemberInfo | undefined {
    return this.#members.get(id);
  }

  isRemoved(id: MemberId): boolean {
    return this.#removed.has(id);
  }

  /** All members in the order of their ids, as upstream lists them. */
  list(): MemberInfo[] {
    return [...this.#members.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  voters(): MemberInfo[] {
    return this.list().filter((m) => !m.isLearner);
  }

  /** Fills in what was stored. */
  load(members: readonly MemberInfo[], removed: readonly MemberId[]): void {
    for (const m of members) this.#members.set(m.id, m);
    for (const id of removed) this.#removed.add(id);
  }

  /** @throws EtcdError when the change does not fit the membership as it is; nothing was changed */
  check(change: MemberChange): void {
    if (change.type === "add") return this.#checkAdd(change.member);
    if (this.#removed.has(change.id)) throw new EtcdError("ERR_MEMBER_NOT_FOUND");
    const member = this.#members.get(change.id);
    if (member === undefined) throw new EtcdError("ERR_MEMBER_NOT_FOUND");
    if (change.type === "promote" && !member.isLearner) throw new EtcdError("ERR_MEMBER_NOT_LEARNER");
    if (change.type === "update") this.#checkUrls(change.peerUrls, change.id);
  }

  /** Carries out a change that `check` let pass. Returns the ids whose stored form changed. */
  apply(change: MemberChange): MemberId {
    switch (change.type) {
      case "add":
        this.#members.set(change.member.id, change.member);
        return change.member.id;
      case "remove":
        this.#members.delete(change.id);
        this.#removed.add(change.id);
        return change.id;
      case "promote":
        this.#edit(change.id, { isLearner: false });
        return change.id;
      case "update":
        this.#edit(change.id, { peerUrls: change.peerUrls });
        return change.id;
    }
  }

  /** A member told its name and addresses. False when it is no member (any more). */
  setAttributes(id: MemberId, name: string, clientUrls: readonly string[]): boolean {
    if (!this.#members.has(id)) return false;
    this.#edit(id, { name, clientUrls });
    return true;
  }

  #edit(id: MemberId, fields: Partial<MemberInfo>): void {
    const member = this.#members.get(id);
    if (member !== undefined) this.#members.set(id, { ...member, ...fields });
  }

  #checkAdd(member: MemberInfo): void {
    if (this.#removed.has(member.id)) throw new EtcdError("ERR_MEMBER_NOT_FOUND");
    if (this.#members.has(member.id)) throw new EtcdError("ERR_MEMBER_EXISTS");
    this.#checkUrls(member.peerUrls, undefined);
    const learners = this.list().filter((m) => m.isLearner).length;
    if (member.isLearner && learners >= MAX_LEARNERS) throw new EtcdError("ERR_TOO_MANY_LEARNERS");
  }

  #checkUrls(urls: readonly string[], except: MemberId | undefined): void {
    for (const m of this.#members.values()) {
      if (m.id === except) continue;
      if (urls.some((u) => m.peerUrls.includes(u))) throw new EtcdError("ERR_PEER_URL_EXISTS");
    }
  }
}

/**
 * Whether a change keeps a quorum of started members (upstream: --strict-reconfig-check,
 * server/etcdserver/api/membership/cluster.go IsReadyToAddVotingMember, IsReadyToRemoveVotingMember).
 */
export function keepsQuorum(membership: Membership, change: MemberChange): boolean {
  const started = (m: MemberInfo) => m.name !== "";
  const voters = membership.voters();
  if (change.type === "add" && !change.member.isLearner) {
    // A cluster of one, started, may always grow: the new member cannot be started before it is added.
    if (voters.length === 1 && voters.every(started)) return true;
    return voters.filter(started).length >= Math.floor((voters.length + 1) / 2) + 1;
  }
  if (change.type === "remove") {
    const member = membership.get(change.id);
    if (member === undefined || member.isLearner || !started(member)) return true;
    const left = voters.filter((m) => m.id !== change.id);
    return left.filter(started).length >= Math.floor(left.length / 2) + 1;
  }
  return true;
}
