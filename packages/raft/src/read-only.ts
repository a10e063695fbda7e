import type { MemberId } from "@keelson/types";
import { type JointVoters, jointCommitted } from "./quorum/joint.ts";
import { type Message, NO_BYTES, type ReadOnlyOption } from "./types.ts";

/** A MsgReadIndex waiting for proof that this node still led when it came. */
export interface PendingRead {
  readonly request: Message;
  /** The commit index at that time. */
  readonly index: number;
}

/** Reads a leader holds at most while waiting for a quorum. More are dropped, as a lost message would be. */
export const PENDING_READS_MAX = 65_536;

/**
 * The reads a leader has not confirmed yet. They are numbered in order; heartbeats carry the newest number, and the
 * number that a quorum has answered confirms all reads up to it (thesis 6.4).
 */
export class ReadOnly {
  readonly option: ReadOnlyOption;
  readonly #acked = new Map<MemberId, number>();
  #unconfirmed: PendingRead[] = [];
  #confirmed = 0;

  constructor(option: ReadOnlyOption) {
    this.option = option;
  }

  /** False when too many wait already. */
  add(index: number, request: Message): boolean {
    if (this.#unconfirmed.length >= PENDING_READS_MAX) return false;
    this.#unconfirmed.push({ request, index });
    return true;
  }

  /** What a heartbeat must carry to confirm every read that waits now: a little-endian number, or nothing. */
  heartbeatContext(): Uint8Array {
    if (this.#unconfirmed.length === 0) return NO_BYTES;
    const position = this.#confirmed + this.#unconfirmed.length;
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, position >>> 0, true);
    view.setUint32(4, Math.floor(position / 0x1_0000_0000), true);
    return bytes;
  }

  /** `from` answered a heartbeat that carried `context`. */
  receiveAck(from: MemberId, context: Uint8Array): void {
    if (context.length !== 8) return;
    const view = new DataView(context.buffer, context.byteOffset, 8);
    const position = view.getUint32(0, true) + view.getUint32(4, true) * 0x1_0000_0000;
    if (position > (this.#acked.get(from) ?? 0)) this.#acked.set(from, position);
  }

  /** Removes and returns the reads that a quorum of `voters` has confirmed. */
  advance(voters: JointVoters): readonly PendingRead[] {
    const acked = jointCommitted(voters, (id) => this.#acked.get(id));
    const count = Math.min(acked - this.#confirmed, this.#unconfirmed.length);
    if (count <= 0) return [];
    this.#confirmed += count;
    return this.#unconfirmed.splice(0, count);
  }
}
