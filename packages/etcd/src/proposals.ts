import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type InternalRaftRequest, InternalRaftRequestSchema, RequestHeaderSchema } from "@keelson/proto";
import type { Entry, RawNode } from "@keelson/raft";
import type { MemberId, Random } from "@keelson/types";
import { EtcdError, type EtcdErrorCode } from "./core/errors.ts";
import type { ApplyOutcome } from "./core/state-machine.ts";

interface Pending {
  readonly id: bigint;
  readonly request: InternalRaftRequest;
  readonly data: Uint8Array;
  readonly deadlineMs: number;
  /** The term it was given to Raft in; undefined while it waits for a leader. */
  term: number | undefined;
  readonly resolve: (outcome: ApplyOutcome) => void;
  readonly reject: (error: EtcdError) => void;
}

/** Proposals that may wait or be under way at a time, and their bytes. */
const PENDING_MAX = 20_000;
const PENDING_BYTES_MAX = 256 * 1024 * 1024;
/** Proposals of one message to Raft: together they become one append to each follower. */
const BATCH_BYTES_MAX = 512 * 1024;

/**
 * Requests of this member's clients on their way through the log. A request waits here until there is a leader, is proposed
 * once, and ends with the outcome of its entry, or with an error that leaves open whether it will still take effect.
 */
export class Proposals {
  readonly #byId = new Map<bigint, Pending>();
  /** By the identity of the bytes: entries that never left this process need not be decoded again. */
  #byData = new WeakMap<Uint8Array, Pending>();
  #queue: Pending[] = [];
  /** Given to Raft and certainly not sent to the leader: to be proposed again, but not at once. */
  #notSent: Pending[] = [];
  #bytes = 0;
  #nextId: bigint;

  constructor(memberId: MemberId, random: Random) {
    // As upstream: 16 bits of the member, then a number that no earlier run has used.
    this.#nextId = ((memberId & 0xffffn) << 48n) | (random.u64() & 0x7fff_ffff_ffffn);
  }

  get pending(): number {
    return this.#byId.size;
  }

  nextId(): bigint {
    return this.#nextId++;
  }

  /** @throws EtcdError ERR_TOO_MANY_REQUESTS, ERR_REQUEST_TOO_LARGE: then it was not proposed */
  add(
    init: MessageInitShape<typeof InternalRaftRequestSchema>,
    deadlineMs: number,
    maxBytes: number,
  ): Promise<ApplyOutcome> {
    if (this.#isFull()) throw new EtcdError("ERR_TOO_MANY_REQUESTS", { pending: this.pending, bytes: this.#bytes });
    const { pending, promise } = this.#register(init, deadlineMs);
    const bytes = pending.data.length;
    if (bytes > maxBytes) {
      this.#remove(pending.id);
      throw new EtcdError("ERR_REQUEST_TOO_LARGE", { bytes, maxBytes });
    }
    this.#queue.push(pending);
    return promise;
  }

  /** Gives what waits to Raft. What it does not take (there is a transfer, or too much is uncommitted) waits on. */
  propose(node: RawNode): void {
    const { term, lead } = node.basicStatus();
    if (lead === 0n) return;
    while (this.#queue.length > 0) {
      const batch = this.#nextBatch();
      if (batch.length === 0) continue;
      if (node.proposeMany(batch.map((p) => p.data)) !== "ok") return;
      for (const p of batch) p.term = term;
      this.#queue.splice(0, batch.length);
    }
  }

  /**
   * Puts a request of this member itself straight into the leader's log, or nowhere: undefined when that is not possible
   * now. It never waits and is never forwarded. Only for a leader.
   */
  proposeNow(
    init: MessageInitShape<typeof InternalRaftRequestSchema>,
    deadlineMs: number,
    node: RawNode,
  ): Promise<ApplyOutcome> | undefined {
    if (this.#isFull()) return undefined;
    const { pending, promise } = this.#register(init, deadlineMs);
    pending.term = node.basicStatus().term;
    if (node.propose(pending.data) === "ok") return promise;
    this.#remove(pending.id);
    return undefined;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** The proposal that an entry came from, if it is one of this process's. */
  find(data: Uint8Array): InternalRaftRequest | undefined {
    return this.#byData.get(data)?.request;
  }

  finish(id: bigint, outcome: ApplyOutcome): void {
    const pending = this.#remove(id);
    pending?.resolve(outcome);
  }

  /**
   * The first entry of `term` was applied: entries of earlier leaders that are not applied by now never will be. Only
   * a message still on its way may yet bring one back, so the error says that the outcome is unknown.
   */
  leaderChanged(term: number): void {
    this.retry();
    for (const p of this.#byId.values()) {
      if (p.term !== undefined && p.term < term) this.#fail(p, "ERR_TIMEOUT_LEADER_FAIL");
    }
  }

  /** These entries were on their way to the leader and certainly did not get out of the process. */
  notSent(entries: readonly Entry[]): void {
    for (const { data } of entries) {
      const pending = this.#byData.get(data);
      if (pending !== undefined) this.#notSent.push(pending);
    }
  }

  /** Proposes again what was not sent. */
  retry(): void {
    if (this.#notSent.length === 0) return;
    const again = this.#notSent.filter((p) => this.#byId.has(p.id));
    this.#notSent = [];
    for (const p of again) p.term = undefined;
    this.#queue = [...again, ...this.#queue];
  }

  /** Time passed: tries again, and gives up on what waited too long. */
  tick(nowMs: number): void {
    this.retry();
    this.#expire(nowMs);
  }

  #expire(nowMs: number): void {
    for (const p of this.#byId.values()) {
      // All have the same patience, so the first that is in time ends the search.
      if (p.deadlineMs > nowMs) return;
      this.#fail(p, "ERR_TIMEOUT");
    }
  }

  failAll(code: EtcdErrorCode): void {
    for (const p of this.#byId.values()) this.#fail(p, code);
    this.#queue = [];
  }

  #isFull(): boolean {
    return this.#byId.size >= PENDING_MAX || this.#bytes > PENDING_BYTES_MAX;
  }

  #register(
    init: MessageInitShape<typeof InternalRaftRequestSchema>,
    deadlineMs: number,
  ): { pending: Pending; promise: Promise<ApplyOutcome> } {
    const id = this.nextId();
    const request = create(InternalRaftRequestSchema, init);
    request.header = create(RequestHeaderSchema, { ID: id });
    const data = toBinary(InternalRaftRequestSchema, request);
    const { promise, resolve, reject } = Promise.withResolvers<ApplyOutcome>();
    const pending: Pending = { id, request, data, deadlineMs, term: undefined, resolve, reject };
    this.#byId.set(id, pending);
    this.#byData.set(data, pending);
    this.#bytes += data.length;
    return { pending, promise };
  }

  #nextBatch(): Pending[] {
    // Those given up on meanwhile must not be proposed: the client may act on its error.
    while (this.#queue.length > 0 && !this.#byId.has((this.#queue[0] as Pending).id)) this.#queue.shift();
    const batch: Pending[] = [];
    let bytes = 0;
    for (const p of this.#queue) {
      if (!this.#byId.has(p.id)) break;
      bytes += p.data.length;
      if (batch.length > 0 && bytes > BATCH_BYTES_MAX) break;
      batch.push(p);
    }
    return batch;
  }

  #fail(p: Pending, code: EtcdErrorCode): void {
    this.#remove(p.id);
    // Never proposed: it is certain that it had no effect, and there was no leader to give it to.
    const never = p.term === undefined && code === "ERR_TIMEOUT";
    p.reject(new EtcdError(code, { proposed: !never }));
  }

  #remove(id: bigint): Pending | undefined {
    const pending = this.#byId.get(id);
    if (pending === undefined) return undefined;
    this.#byId.delete(id);
    this.#byData.delete(pending.data);
    this.#bytes -= pending.data.length;
    return pending;
  }
}
