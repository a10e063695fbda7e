import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { decodeMessage, type Message } from "@keelson/raft";
import { assert, type Clock, type ClusterId, hexId, type Logger, type MemberId } from "@keelson/types";
import { STREAM_PATH } from "./dial.ts";
import { encodeFrame, FRAME, type Frame, FrameReader, numbered } from "./frames.ts";
import { PeerLink, PeerRequestError } from "./peer-link.ts";
import type { PeerListener } from "./peer-listener.ts";
import type { PeerAddress, PeerHandler, PeerTransport } from "./port.ts";
import { receiveSnapshotFrom, sendSnapshotTo } from "./snapshot-stream.ts";

export interface TcpTransportOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Already listening, so that a port in use is known before anything is written. */
  readonly listener: PeerListener;
}

const SILENCE_MAX_MS = 10_000;

/**
 * {@link PeerTransport} over TCP: each member dials each other one and sends its messages on that connection; snapshots have
 * connections of their own. Starts talking when it knows who it is (`identify`).
 */
export class TcpTransport implements PeerTransport {
  readonly #options: TcpTransportOptions;
  readonly #links = new Map<MemberId, PeerLink>();
  readonly #incoming = new Set<Socket>();
  #ids: { clusterId: ClusterId; memberId: MemberId } | undefined;
  #isRemoved: (id: MemberId) => boolean = () => false;
  #handler: PeerHandler | undefined;
  #stopped = false;

  constructor(options: TcpTransportOptions) {
    this.#options = options;
  }

  /** Who this member is. To be called before `start`. */
  identify(ids: { clusterId: ClusterId; memberId: MemberId }, isRemoved: (id: MemberId) => boolean): void {
    this.#ids = ids;
    this.#isRemoved = isRemoved;
  }

  start(handler: PeerHandler): void {
    this.#handler = handler;
    this.#options.listener.onUpgrade = (req, socket, head) => this.#upgrade(req, socket, head);
  }

  setPeers(peers: readonly PeerAddress[]): void {
    if (this.#stopped) return;
    const wanted = new Map(peers.map((p) => [p.id, p]));
    for (const [id, link] of this.#links) {
      const peer = wanted.get(id);
      if (peer !== undefined && peer.peerUrls.join() === link.address.peerUrls.join()) continue;
      link.close();
      this.#links.delete(id);
    }
    for (const peer of peers) if (!this.#links.has(peer.id)) this.#links.set(peer.id, this.#newLink(peer));
  }

  send(messages: readonly Message[]): void {
    const byPeer = Map.groupBy(messages, (m) => m.to);
    for (const [id, list] of byPeer) {
      if (this.#links.get(id)?.send(list) === true) continue;
      for (const m of list) this.#handler?.onNotSent(m);
    }
  }

  async sendSnapshot(message: Message, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const url = this.#links.get(message.to)?.address.peerUrls[0];
    if (url === undefined) throw new PeerRequestError("the peer is not known", { to: message.to });
    await sendSnapshotTo(url, this.#idsTo(message.to), message, chunks);
  }

  request(to: MemberId, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const link = this.#links.get(to);
    if (link === undefined) return Promise.reject(new PeerRequestError("the peer is not known", { to }));
    return link.request(body, timeoutMs);
  }

  connectedForMs(id: MemberId): number | undefined {
    return this.#links.get(id)?.connectedForMs;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    for (const socket of this.#incoming) socket.destroy();
    await this.#options.listener.close();
  }

  #newLink(peer: PeerAddress): PeerLink {
    const { clock, logger } = this.#options;
    const onUnreachable = () => this.#handler?.onUnreachable(peer.id);
    const onGone = () => this.#handler?.onGone(peer.id);
    return new PeerLink(peer, this.#idsTo(peer.id), { clock, logger, onUnreachable, onGone });
  }

  #idsTo(to: MemberId): { clusterId: ClusterId; from: MemberId; to: MemberId } {
    assert(this.#ids !== undefined, "the transport knows whose it is");
    return { clusterId: this.#ids.clusterId, from: this.#ids.memberId, to };
  }

  #upgrade(req: IncomingMessage, duplex: Duplex, head: Buffer): void {
    const socket = duplex as Socket;
    socket.on("error", () => undefined); // "close" follows
    const refusal = this.#refusal(req);
    if (refusal !== undefined) {
      this.#options.logger.warn("refused a peer", { from: req.headers["x-server-from"], reason: refusal.reason });
      socket.end(
        `HTTP/1.1 ${refusal.status}\r\nX-Reason: ${refusal.reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
      );
      return;
    }
    socket.setNoDelay(true);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${req.headers.upgrade}\r\n\r\n`);
    if (head.length > 0) socket.unshift(head);
    this.#incoming.add(socket);
    socket.on("close", () => this.#incoming.delete(socket));
    const from = BigInt(`0x${String(req.headers["x-server-from"])}`);
    if (req.headers["x-stream-kind"] === "snapshot") {
      void receiveSnapshotFrom(socket, (m, chunks) => this.#takeSnapshot(from, m, chunks));
    } else this.#readMessages(socket, from);
  }

  #refusal(req: IncomingMessage): { status: string; reason: string } | undefined {
    const header = (name: string) => String(req.headers[name] ?? "");
    if (this.#ids === undefined || this.#handler === undefined || this.#stopped) {
      return { status: "503 Service Unavailable", reason: "not ready" };
    }
    if ((req.url ?? "").split("?")[0] !== STREAM_PATH) return { status: "404 Not Found", reason: "unknown path" };
    const [cluster, to, from] = [header("x-etcd-cluster-id"), header("x-raft-to"), header("x-server-from")];
    if (cluster !== hexId(this.#ids.clusterId)) {
      return {
        status: "412 Precondition Failed",
        reason: `cluster ID mismatch: ${cluster.slice(0, 16)} is not ${hexId(this.#ids.clusterId)}`,
      };
    }
    if (to !== hexId(this.#ids.memberId)) {
      return { status: "412 Precondition Failed", reason: `member ID mismatch: this is ${hexId(this.#ids.memberId)}` };
    }
    if (!/^[0-9a-f]{1,16}$/.test(from)) return { status: "400 Bad Request", reason: "bad X-Server-From" };
    if (this.#isRemoved(BigInt(`0x${from}`))) return { status: "410 Gone", reason: "the member was removed" };
    return undefined;
  }

  #readMessages(socket: Socket, from: MemberId): void {
    // The peer pings all the time. One that vanished without a word would leave its sockets here for ever.
    socket.setTimeout(SILENCE_MAX_MS, () => socket.destroy());
    const reader = new FrameReader();
    socket.on("data", (chunk: Buffer) => {
      try {
        for (const frame of reader.push(chunk)) this.#frame(socket, from, frame);
      } catch (error) {
        this.#options.logger.warn("closing a peer's connection", { from, error });
        socket.destroy();
      }
    });
  }

  #frame(socket: Socket, from: MemberId, { kind, body }: Frame): void {
    if (kind === FRAME.message) {
      const message = decodeMessage(body);
      if (message.to === this.#ids?.memberId && !this.#stopped) this.#handler?.onMessage(message);
    } else if (kind === FRAME.ping) socket.write(encodeFrame(FRAME.pong));
    else if (kind === FRAME.request) void this.#answer(socket, from, body);
  }

  async #answer(socket: Socket, from: MemberId, body: Buffer): Promise<void> {
    const id = body.readUInt32BE(0);
    let frame: Buffer;
    try {
      const reply = await this.#handler?.onRequest(from, body.subarray(4));
      frame = encodeFrame(FRAME.reply, numbered(id, reply ?? new Uint8Array(0)));
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      frame = encodeFrame(FRAME.refusal, numbered(id, Buffer.from(text, "utf8")));
    }
    if (!socket.destroyed) socket.write(frame);
  }

  async #takeSnapshot(from: MemberId, message: Message, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    if (message.from !== from || message.to !== this.#ids?.memberId)
      throw new PeerRequestError("a snapshot for another");
    await this.#handler?.onSnapshot(message, chunks);
  }
}
