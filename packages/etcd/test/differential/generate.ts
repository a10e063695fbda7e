import { create, type DescMethodUnary, type Message } from "@bufbuild/protobuf";
import { Auth, Cluster, KV, Lease, Maintenance, type WatchRequest } from "@keelson/proto";
import type { Prng } from "@keelson/testkit";
import { isAsked } from "./allowed.ts";
import * as init from "./requests.ts";

/** One thing that both servers are asked. */
export type Step =
  | { readonly kind: "unary"; readonly method: DescMethodUnary; readonly request: Message }
  | { readonly kind: "watch"; readonly stream: number; readonly request: Partial<WatchRequest> }
  | { readonly kind: "keepAlive"; readonly id: bigint }
  /** Wait until the streams of both have the same responses. */
  | { readonly kind: "settle" };

/** The last takes watches that begin now or later, the others such as begin earlier, too. */
export const STREAMS = 3;
const FUTURE_STREAM = STREAMS - 1;
/** Steps between two waits for the streams. */
const SETTLE_EVERY = 60;
/** Watches open at once on a stream. */
const WATCHES_MAX = 12;

/** Makes requests at random from what the servers' answers have shown so far. */
export class Generator {
  readonly #rng: Prng;
  readonly #queue: (() => Step)[] = [];
  readonly #world: init.World = { revision: 1, compacted: 0, leases: new Set() };
  readonly #watches: Set<bigint>[] = Array.from({ length: STREAMS }, () => new Set<bigint>());
  #count = 0;

  constructor(rng: Prng) {
    this.#rng = rng;
  }

  next(): Step {
    const queued = this.#queue.shift();
    if (queued !== undefined) return queued();
    if (++this.#count % SETTLE_EVERY === 0) return { kind: "settle" };
    return this.#step();
  }

  /** The header's revision of a response. */
  sawRevision(revision: number): void {
    this.#world.revision = Math.max(this.#world.revision, revision);
  }

  get compacted(): number {
    return this.#world.compacted;
  }

  sawSuccess(step: Step): void {
    if (step.kind !== "unary") return;
    const { method, request } = step;
    if (method === KV.method.compact) this.#world.compacted = Number((request as { revision?: bigint }).revision ?? 0n);
    const id = (request as { ID?: bigint }).ID ?? 0n;
    if (method === Lease.method.leaseGrant) this.#world.leases.add(id);
    if (method === Lease.method.leaseRevoke) this.#world.leases.delete(id);
  }

  #step(): Step {
    const rng = this.#rng;
    const roll = rng.below(1000);
    const world = this.#world;
    if (roll < 220) return unary(KV.method.put, init.put(rng, world));
    if (roll < 520) return unary(KV.method.range, init.range(rng, world));
    if (roll < 580) return unary(KV.method.deleteRange, init.deleteRange(rng));
    if (roll < 760) {
      const txn = init.txn(rng, world, 2);
      return isAsked(txn) ? unary(KV.method.txn, txn) : this.#step();
    }
    // What a compaction takes from a watch that is behind depends on how fast a server is: first let them all catch up.
    if (roll < 775) return this.#settled(() => unary(KV.method.compact, init.compaction(rng, world)));
    if (roll < 850) return this.#lease();
    if (roll < 940) return this.#settled(() => this.#watch());
    return this.#other();
  }

  /** A step that is made after the streams are quiet and the latest revision is known. */
  #settled(make: () => Step): Step {
    this.#queue.push(make);
    return { kind: "settle" };
  }

  #lease(): Step {
    const rng = this.#rng;
    const roll = rng.below(10);
    const id = init.leaseId(rng, this.#world);
    if (roll < 4) {
      const TTL = rng.pick([1000n, 5000n, 9_000_000_000n, 9_000_000_001n, 1_000_000n, 2n ** 62n, 0n, -1n, 1n]);
      // Never 0: ids that the servers choose differ.
      const ID = (rng.chance(0.1) && id) || BigInt(rng.between(1, 40));
      // Taken back at once: the time at which a short one ends is not the same on both.
      if (TTL < 1000n) this.#queue.push(() => unary(Lease.method.leaseRevoke, { ID }));
      return unary(Lease.method.leaseGrant, { TTL, ID });
    }
    if (roll < 6) return unary(Lease.method.leaseRevoke, { ID: id });
    if (roll < 8) return unary(Lease.method.leaseTimeToLive, { ID: id, keys: rng.chance(0.7) });
    if (roll < 9) return { kind: "keepAlive", id };
    return unary(Lease.method.leaseLeases, {});
  }

  #watch(): Step {
    const rng = this.#rng;
    const stream = rng.below(STREAMS);
    const ids = this.#watches[stream] as Set<bigint>;
    if (ids.size >= WATCHES_MAX || rng.chance(0.25)) {
      const watchId = ids.size > 0 && rng.chance(0.9) ? rng.pick([...ids]) : BigInt(rng.between(-2, 5));
      ids.delete(watchId);
      return { kind: "watch", stream, request: { requestUnion: init.watchCancel(watchId) } };
    }
    const requestUnion = init.watchCreate(rng, this.#world, stream === FUTURE_STREAM);
    // Ids that a server chose are not known here; those of the client are enough to have something to cancel.
    ids.add(requestUnion.value.watchId || BigInt(ids.size));
    return { kind: "watch", stream, request: { requestUnion } };
  }

  #other(): Step {
    const rng = this.#rng;
    const { revision, compacted } = this.#world;
    switch (rng.below(9)) {
      case 0:
        return unary(Cluster.method.memberList, { linearizable: rng.chance(0.5) });
      case 1:
        return unary(Maintenance.method.status, {});
      case 2:
        return unary(Maintenance.method.alarm, { action: 0, alarm: rng.pick([0, 1, 2]), memberID: rng.pick([0n, 7n]) });
      case 3:
        return unary(Auth.method.authStatus, {});
      case 4:
        return unary(Maintenance.method.hashKV, { revision: init.revisionNear(rng, revision, compacted) });
      case 5:
        return unary(Maintenance.method.moveLeader, { targetID: 77n });
      case 6:
        return unary(Cluster.method.memberRemove, { ID: BigInt(rng.between(1, 9)) });
      case 7:
        return unary(Cluster.method.memberUpdate, { ID: 5n, peerURLs: [rng.pick(["http://127.0.0.1:1", "x", ""])] });
      default:
        return unary(Cluster.method.memberPromote, { ID: BigInt(rng.between(1, 9)) });
    }
  }
}

function unary(method: DescMethodUnary, request: Record<string, unknown> | Message): Step {
  return { kind: "unary", method, request: create(method.input, request as Record<string, unknown>) };
}
