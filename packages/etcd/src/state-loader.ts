import { MvccRestore } from "@keelson/mvcc";
import { type ConfState, decodeConfState } from "@keelson/raft";
import type { KvStore } from "@keelson/storage";
import type { ClusterId, MemberId } from "@keelson/types";
import type { AppliedStore } from "./applied-store.ts";
import type { AlarmRecord } from "./core/alarms.ts";
import { DataDirError } from "./core/errors.ts";
import { generationRange, idOfKey, KIND } from "./core/keys.ts";
import type { LeaseRecord } from "./core/lessor.ts";
import { type MemberInfo, Membership } from "./core/membership.ts";
import { decodeLease, decodeMember, decodePosition, type LogPosition } from "./core/records.ts";
import { StateMachine } from "./core/state-machine.ts";

/** Reads a whole generation of the applied state into a {@link StateMachine}. @throws DataDirError */
export async function loadState(
  store: KvStore,
  applied: AppliedStore,
  ids: { readonly clusterId: ClusterId; readonly memberId: MemberId },
): Promise<StateMachine> {
  const loader = new StateLoader(applied);
  for await (const chunk of store.scan(generationRange(applied.generation))) loader.feed(chunk);
  return loader.finish(ids);
}

const GENERATION_BYTES = 5;

class StateLoader {
  readonly #applied: AppliedStore;
  readonly #mvcc: MvccRestore;
  readonly #members: MemberInfo[] = [];
  readonly #removed: MemberId[] = [];
  readonly #leases: LeaseRecord[] = [];
  readonly #alarms: AlarmRecord[] = [];
  #position: LogPosition | undefined;
  #confState: ConfState | undefined;
  #clusterVersion = "";

  constructor(applied: AppliedStore) {
    this.#applied = applied;
    this.#mvcc = new MvccRestore({ backend: applied, prefix: KIND.mvcc });
  }

  feed(chunk: readonly (readonly [Uint8Array, Uint8Array])[]): void {
    const mvcc: (readonly [Uint8Array, Uint8Array])[] = [];
    for (const [stored, value] of chunk) {
      const key = stored.subarray(GENERATION_BYTES);
      if (key[0] === KIND.mvcc) mvcc.push([key, value]);
      else this.#record(key, value);
    }
    if (mvcc.length > 0) this.#mvcc.feed(mvcc);
  }

  finish(ids: { readonly clusterId: ClusterId; readonly memberId: MemberId }): StateMachine {
    if (this.#position === undefined || this.#confState === undefined) {
      throw new DataDirError("the applied state has no position or configuration: restore the data directory");
    }
    const { store, leases } = this.#mvcc.finish();
    const members = new Membership();
    members.load(this.#members, this.#removed);
    return new StateMachine(ids, this.#applied, {
      applied: this.#position,
      confState: this.#confState,
      mvcc: store,
      attachments: leases,
      leases: this.#leases,
      members,
      clusterVersion: this.#clusterVersion,
      alarms: this.#alarms,
    });
  }

  #record(key: Uint8Array, value: Uint8Array): void {
    switch (key[0] ?? -1) {
      case KIND.applied:
        this.#position = decodePosition(value, "the applied position");
        return;
      case KIND.confState:
        this.#confState = decodeConfState(value);
        return;
      case KIND.member:
        this.#members.push(decodeMember(value));
        return;
      case KIND.removedMember:
        this.#removed.push(idOfKey(key));
        return;
      case KIND.clusterVersion:
        this.#clusterVersion = new TextDecoder().decode(value);
        return;
      case KIND.lease:
        this.#leases.push(decodeLease(idOfKey(key), value));
        return;
      case KIND.alarm:
        this.#alarms.push({ memberId: idOfKey(key), alarm: key[9] ?? 0 });
        return;
      default: {
        const name = Buffer.from(key).toString("hex");
        throw new DataDirError(
          `the applied state has a record of an unknown kind (key ${name}): use the version that wrote it`,
          {
            key: name,
          },
        );
      }
    }
  }
}
