import { decodeMessage, encodeMessage, type Message } from "@keelson/raft";
import type { SimNetwork } from "@keelson/testkit";
import type { Clock, MemberId } from "@keelson/types";
import type { PeerAddress, PeerHandler, PeerTransport } from "../../src/index.ts";

/**
 * What travels between simulated members. Raft's messages go through the real codec. Those that have a `once` are delivered
 * at most once, as the port promises; of the others Raft stands any number of copies.
 */
export type Packet =
  | { readonly kind: "raft"; readonly bytes: Uint8Array; readonly once?: number }
  | {
      readonly kind: "snapshot";
      readonly call: number;
      readonly head: Uint8Array;
      readonly chunks: readonly Uint8Array[];
    }
  | { readonly kind: "request"; readonly call: number; readonly body: Uint8Array }
  | { readonly kind: "answer"; readonly call: number; readonly body?: Uint8Array; readonly error?: string };

/** A snapshot whose end is not confirmed in this time has failed, as a broken connection would tell. */
const SNAPSHOT_TIMEOUT_MS = 3_000;

export interface SimTransportOptions {
  readonly id: MemberId;
  readonly network: SimNetwork<MemberId, Packet>;
  readonly clock: Clock;
  readonly life: number;
  /** Sees each of Raft's messages as it leaves. */
  readonly onSend: (message: Message) => void;
}

/** Members talking over a {@link SimNetwork}. Made anew for each life of a member. */
export class SimTransport implements PeerTransport {
  readonly #id: MemberId;
  readonly #network: SimNetwork<MemberId, Packet>;
  readonly #clock: Clock;
  readonly #onSend: (message: Message) => void;
  readonly #calls = new Map<number, { resolve(body: Uint8Array): void; reject(error: Error): void }>();
  #nextCall: number;
  #handler: PeerHandler | undefined;
  #attachment: Disposable | undefined;
  #peers = new Set<MemberId>();
  readonly #heardMs = new Map<MemberId, number>();
  readonly #taken = new Set<string>();

  /** `life` keeps the calls of one life apart from those of another. */
  constructor(options: SimTransportOptions) {
    this.#id = options.id;
    this.#network = options.network;
    this.#clock = options.clock;
    this.#onSend = options.onSend;
    this.#nextCall = options.life * 1_000_000;
  }

  start(handler: PeerHandler): void {
    this.#handler = handler;
    this.#attachment = this.#network.attach(this.#id, (from, packet) => this.#receive(from, packet));
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#peers = new Set(peers.map((peer) => peer.id));
  }

  send(messages: readonly Message[]): void {
    for (const message of messages) {
      if (!this.#peers.has(message.to) || this.#handler === undefined) continue;
      this.#onSend(message);
      const packet: Packet = { kind: "raft", bytes: encodeMessage(message) };
      // A proposal that arrives twice would be two writes.
      const isProposal = message.type === "MsgProp";
      this.#network.send(this.#id, message.to, isProposal ? { ...packet, once: this.#nextCall++ } : packet);
    }
  }

  async sendSnapshot(message: Message, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.#onSend(message);
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(new Uint8Array(chunk));
    await this.#call(message.to, SNAPSHOT_TIMEOUT_MS, (call) => ({
      kind: "snapshot",
      call,
      head: encodeMessage(message),
      chunks: parts,
    }));
  }

  request(to: MemberId, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return this.#call(to, timeoutMs, (call) => ({ kind: "request", call, body }));
  }

  connectedForMs(id: MemberId): number | undefined {
    const heardMs = this.#heardMs.get(id);
    return heardMs === undefined ? undefined : this.#clock.monotonicMs() - heardMs;
  }

  /** The member is dead: nothing arrives any more and nothing that waits is told. */
  kill(): void {
    this.#attachment?.[Symbol.dispose]();
    this.#handler = undefined;
  }

  async stop(): Promise<void> {
    this.kill();
  }

  #call(to: MemberId, timeoutMs: number, packet: (call: number) => Packet): Promise<Uint8Array> {
    const call = this.#nextCall++;
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject });
      this.#clock.after(timeoutMs, () => this.#finish(call, { error: "no answer in time" }));
      this.#network.send(this.#id, to, packet(call));
    });
  }

  #finish(call: number, answer: { body?: Uint8Array; error?: string }): void {
    const waiting = this.#calls.get(call);
    this.#calls.delete(call);
    if (answer.error === undefined) waiting?.resolve(answer.body ?? new Uint8Array(0));
    else waiting?.reject(new Error(answer.error));
  }

  #receive(from: MemberId, packet: Packet): void {
    const handler = this.#handler;
    if (handler === undefined) return;
    this.#heardMs.set(from, this.#clock.monotonicMs());
    if (this.#isCopy(from, packet)) return undefined;
    switch (packet.kind) {
      case "raft":
        return handler.onMessage(decodeMessage(packet.bytes));
      case "snapshot":
        return this.#answer(from, packet.call, handler.onSnapshot(decodeMessage(packet.head), each(packet.chunks)));
      case "request":
        return this.#answer(from, packet.call, handler.onRequest(from, packet.body));
      case "answer":
        return this.#finish(packet.call, packet);
    }
  }

  #isCopy(from: MemberId, packet: Packet): boolean {
    const once = packet.kind === "raft" ? packet.once : packet.call;
    if (once === undefined || packet.kind === "answer") return false;
    const key = `${from} ${once}`;
    if (this.#taken.has(key)) return true;
    this.#taken.add(key);
    return false;
  }

  #answer(to: MemberId, call: number, work: Promise<Uint8Array | void>): void {
    const send = (answer: { body?: Uint8Array; error?: string }) => {
      // A dead member says nothing.
      if (this.#handler !== undefined) this.#network.send(this.#id, to, { kind: "answer", call, ...answer });
    };
    work.then(
      (body) => send(body === undefined ? {} : { body }),
      (error: unknown) => send({ error: String(error) }),
    );
  }
}

async function* each(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}
