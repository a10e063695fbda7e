import type { Message as ProtoMessage } from "@bufbuild/protobuf";
import type { MvccBackend, MvccStore, RevisionEvents } from "@keelson/mvcc";
import type { InternalRaftRequest, ResponseHeader } from "@keelson/proto";
import type { ConfState } from "@keelson/raft";
import type { ClusterId, MemberId } from "@keelson/types";
import { type AlarmRecord, Alarms } from "./alarms.ts";
import { applyRequest } from "./apply.ts";
import type { EtcdError } from "./errors.ts";
import { idKey, KIND, kindKey } from "./keys.ts";
import { type LeaseRecord, Lessor } from "./lessor.ts";
import type { MemberChange, Membership } from "./membership.ts";
import { encodeLease, encodeMember, encodePosition, type LogPosition } from "./records.ts";

/** What came of one request. */
export interface ApplyOutcome {
  readonly response?: ProtoMessage;
  readonly error?: EtcdError;
  /** What changed in the key space, for the watchers. */
  readonly changes?: RevisionEvents | undefined;
}

/** Everything a restart or a snapshot brings back. */
export interface LoadedState {
  readonly applied: LogPosition;
  readonly confState: ConfState;
  readonly mvcc: MvccStore;
  readonly attachments: readonly { readonly key: Uint8Array; readonly lease: bigint }[];
  readonly leases: readonly LeaseRecord[];
  readonly members: Membership;
  readonly clusterVersion: string;
  readonly alarms: readonly AlarmRecord[];
}

/**
 * The replicated state: keys, leases, members, alarms. Changed by log entries only, in their order, with results that
 * depend on nothing but the entries; each change goes to the `backend` together with the position it is at.
 */
export class StateMachine {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly backend: MvccBackend;
  readonly mvcc: MvccStore;
  readonly lessor = new Lessor();
  readonly members: Membership;
  readonly alarms: Alarms;
  #clusterVersion: string;
  #applied: LogPosition;
  #confState: ConfState;

  constructor(ids: { clusterId: ClusterId; memberId: MemberId }, backend: MvccBackend, loaded: LoadedState) {
    this.clusterId = ids.clusterId;
    this.memberId = ids.memberId;
    this.backend = backend;
    this.mvcc = loaded.mvcc;
    this.members = loaded.members;
    this.alarms = new Alarms(backend, loaded.alarms);
    this.#clusterVersion = loaded.clusterVersion;
    this.#applied = loaded.applied;
    this.#confState = loaded.confState;
    for (const lease of loaded.leases) this.lessor.grant(lease, 0);
    for (const { key, lease } of loaded.attachments) this.lessor.attach(key, keyText(key), lease);
  }

  get applied(): LogPosition {
    return this.#applied;
  }

  get confState(): ConfState {
    return this.#confState;
  }

  /** Major and minor of the protocol that all members speak, such as `3.7.0`; empty before it was agreed on. */
  get clusterVersion(): string {
    return this.#clusterVersion;
  }

  /** Carries out a request. Errors are results like any other: all members come to the same. */
  apply(request: InternalRaftRequest, at: LogPosition, nowMs: number): ApplyOutcome {
    const outcome = applyRequest(this, request, at.term, nowMs);
    if (outcome.changes !== undefined) this.#attachLeases(outcome.changes);
    this.advance(at);
    return outcome;
  }

  /** The entry at this position needed no change (or the caller has made it). */
  advance(at: LogPosition): void {
    this.#applied = at;
    this.backend.put(kindKey(KIND.applied), encodePosition(at));
  }

  /** Raft's membership changed. `encoded` is its stored form. */
  setConfState(confState: ConfState, encoded: Uint8Array): void {
    this.#confState = confState;
    this.backend.put(kindKey(KIND.confState), encoded);
  }

  /** @throws EtcdError when it does not fit; nothing was changed */
  changeMembers(change: MemberChange): void {
    this.members.check(change);
    const id = this.members.apply(change);
    this.storeMember(id);
  }

  storeMember(id: MemberId): void {
    const member = this.members.get(id);
    if (member !== undefined) return this.backend.put(idKey(KIND.member, id), encodeMember(member));
    this.backend.delete(idKey(KIND.member, id));
    this.backend.put(idKey(KIND.removedMember, id), new Uint8Array(0));
  }

  setClusterVersion(version: string): void {
    this.#clusterVersion = version;
    this.backend.put(kindKey(KIND.clusterVersion), new TextEncoder().encode(version));
  }

  storeLease(lease: LeaseRecord): void {
    this.backend.put(idKey(KIND.lease, lease.id), encodeLease(lease));
  }

  header(term: number, revision = this.mvcc.revision): ResponseHeader {
    return {
      $typeName: "etcdserverpb.ResponseHeader",
      clusterId: this.clusterId,
      memberId: this.memberId,
      revision: BigInt(revision),
      raftTerm: BigInt(term),
    };
  }

  #attachLeases(changes: RevisionEvents): void {
    for (const { kv, oldLease, newLease } of changes.events) {
      if (oldLease === newLease) continue;
      const text = keyText(kv.key);
      if (oldLease !== 0n) this.lessor.detach(text, oldLease);
      if (newLease !== 0n) this.lessor.attach(kv.key, text, newLease);
    }
  }
}

/** One character a byte. */
export function keyText(key: Uint8Array): string {
  let out = "";
  for (const byte of key) out += String.fromCharCode(byte);
  return out;
}
