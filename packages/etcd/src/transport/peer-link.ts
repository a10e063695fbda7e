import type { Socket } from "node:net";
import { encodeMessage, type Message } from "@keelson/raft";
import { type Clock, CoreError, type Logger } from "@keelson/types";
import { dial, type PeerIds } from "./dial.ts";
import { encodeFrame, FRAME, type Frame, FrameReader, numbered } from "./frames.ts";
import type { PeerAddress } from "./port.ts";

/** A question to a peer got no answer. */
export class PeerRequestError extends CoreError<"ERR_ETCD_PEER_REQUEST"> {
  readonly code = "ERR_ETCD_PEER_REQUEST";
}

/** Bytes that may wait in a connection; more is dropped, and Raft told so. */
const BUFFER_BYTES_MAX = 64 * 1024 * 1024;
const BACKOFF_MIN_MS = 20;
const BACKOFF_MAX_MS = 500;
const PING_MS = 500;
/** A connection without an answer to a ping for this long is dead, whatever TCP thinks. */
const SILENCE_MAX_MS = 3_000;

interface Asked {
  readonly resolve: (reply: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

/** The connection on which this member's messages go to one peer. Made when there is a peer, remade when lost. */
export class PeerLink {
  readonly address: PeerAddress;
  readonly #ids: PeerIds;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onUnreachable: () => void;
  readonly #onGone: () => void;
  #socket: Socket | undefined;
  #connectedAtMs = 0;
  #heardMs = 0;
  #backoffMs = BACKOFF_MIN_MS;
  #urlIndex = 0;
  #retry: Disposable | undefined;
  #ping: Disposable | undefined;
  #closed = false;
  #nextRequest = 1;
  readonly #asked = new Map<number, Asked>();
  #failing = false;

  constructor(
    address: PeerAddress,
    ids: PeerIds,
    deps: { clock: Clock; logger: Logger; onUnreachable: () => void; onGone: () => void },
  ) {
    this.address = address;
    this.#ids = ids;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#onUnreachable = deps.onUnreachable;
    this.#onGone = deps.onGone;
    this.#connect();
  }

  /** Milliseconds since the connection was made, or undefined without one. */
  get connectedForMs(): number | undefined {
    return this.#socket === undefined ? undefined : this.#clock.monotonicMs() - this.#connectedAtMs;
  }

  /** False when they were certainly not sent. */
  send(messages: readonly Message[]): boolean {
    const socket = this.#socket;
    if (socket === undefined || socket.writableLength > BUFFER_BYTES_MAX) {
      this.#onUnreachable();
      return false;
    }
    socket.cork();
    for (const m of messages) socket.write(encodeFrame(FRAME.message, encodeMessage(m)));
    socket.uncork();
    return true;
  }

  request(body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const socket = this.#socket;
    if (socket === undefined) return Promise.reject(new PeerRequestError("the peer is not connected"));
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const id = this.#nextRequest++;
    const timer = this.#clock.after(timeoutMs, () =>
      this.#finish(id, new PeerRequestError("the peer did not answer in time")),
    );
    const settle = (fn: () => void) => {
      timer[Symbol.dispose]();
      fn();
    };
    this.#asked.set(id, {
      resolve: (reply) => settle(() => resolve(reply)),
      reject: (error) => settle(() => reject(error)),
    });
    socket.write(encodeFrame(FRAME.request, numbered(id, body)));
    return promise;
  }

  close(): void {
    this.#closed = true;
    this.#retry?.[Symbol.dispose]();
    this.#drop(undefined);
  }

  #connect(): void {
    const urls = this.address.peerUrls;
    const url = urls[this.#urlIndex++ % urls.length];
    if (this.#closed || url === undefined) return;
    dial(url, this.#ids, "messages").then(
      (socket) => this.#connected(socket),
      (error: unknown) => this.#failed(error),
    );
  }

  #connected(socket: Socket): void {
    if (this.#closed) return void socket.destroy();
    this.#socket = socket;
    this.#failing = false;
    this.#backoffMs = BACKOFF_MIN_MS;
    this.#connectedAtMs = this.#clock.monotonicMs();
    this.#heardMs = this.#connectedAtMs;
    const reader = new FrameReader();
    socket.on("data", (chunk: Buffer) => {
      try {
        for (const frame of reader.push(chunk)) this.#received(frame);
      } catch (error) {
        this.#drop(error);
      }
    });
    socket.on("error", (error) => this.#drop(error));
    socket.on("close", () => {
      if (this.#socket === socket) this.#drop(undefined);
    });
    this.#ping = this.#clock.every(PING_MS, () => this.#checkAlive(socket));
    this.#logger.debug("peer became active", { peer: this.address.id });
  }

  #checkAlive(socket: Socket): void {
    if (this.#clock.monotonicMs() - this.#heardMs > SILENCE_MAX_MS) {
      return this.#drop(new PeerRequestError(`silent for ${SILENCE_MAX_MS} ms`));
    }
    socket.write(encodeFrame(FRAME.ping));
  }

  #received({ kind, body }: Frame): void {
    this.#heardMs = this.#clock.monotonicMs();
    if (kind === FRAME.reply) this.#finish(body.readUInt32BE(0), new Uint8Array(body.subarray(4)));
    else if (kind === FRAME.refusal) {
      this.#finish(body.readUInt32BE(0), new PeerRequestError(body.subarray(4).toString("utf8")));
    }
  }

  #finish(id: number, result: Uint8Array | Error): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (result instanceof Error) asked?.reject(result);
    else asked?.resolve(result);
  }

  #drop(error: unknown): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    this.#ping?.[Symbol.dispose]();
    socket.removeAllListeners("error");
    socket.on("error", () => undefined);
    socket.destroy();
    for (const id of Array.from(this.#asked.keys())) this.#finish(id, new PeerRequestError("the connection broke"));
    if (this.#closed) return;
    this.#onUnreachable();
    this.#failed(error ?? new PeerRequestError("the peer closed the connection"));
  }

  #failed(error: unknown): void {
    if (this.#closed) return;
    // Once for each outage, not once for each attempt.
    if (!this.#failing) this.#logger.warn("lost the connection to a peer", { peer: this.address.id, error });
    this.#failing = true;
    if (isRefused(error)) this.#onGone();
    this.#retry = this.#clock.after(this.#backoffMs, () => this.#connect());
    this.#backoffMs = Math.min(this.#backoffMs * 2, BACKOFF_MAX_MS);
  }
}

/** Whether the peer's host said that nobody listens there. */
function isRefused(error: unknown): boolean {
  for (let e = error, depth = 0; e instanceof Error && depth < 4; e = e.cause, depth++) {
    if ("code" in e && e.code === "ECONNREFUSED") return true;
  }
  return false;
}
