import type { Message } from "@keelson/raft";
import type { MemberId } from "@keelson/types";
import type { MemberInfo } from "../core/membership.ts";

/** A member as the transport needs it. */
export type PeerAddress = Pick<MemberInfo, "id" | "peerUrls">;

/** What a member does with what its peers send. Nothing here throws, except `onRequest` and `onSnapshot`, which reject. */
export interface PeerHandler {
  onMessage(message: Message): void;
  /** A message to this member could not be delivered. */
  onUnreachable(id: MemberId): void;
  /** Nobody listens at this member's address any more: its process has ended. A hint, and optional knowledge. */
  onGone(id: MemberId): void;
  /** This message certainly never left the process, for example because the peer is not connected. Optional knowledge. */
  onNotSent(message: Message): void;
  /**
   * A peer streams the whole applied state at the position in `message` (a MsgSnap). Resolves when it is stored and handed
   * to Raft; rejects to tell the sender that it failed.
   */
  onSnapshot(message: Message, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** A peer asks something (a lease renewal, say) and waits for the answer. */
  onRequest(from: MemberId, body: Uint8Array): Promise<Uint8Array>;
}

/** How members of a cluster talk. Real: `TcpTransport`; simulated: on `SimNetwork` of `@keelson/testkit`. */
export interface PeerTransport {
  /** Begins to deliver to `handler`. */
  start(handler: PeerHandler): void;
  /** Who the other members are, now and whenever that changes. */
  setPeers(peers: readonly PeerAddress[]): void;
  /**
   * Sends messages, best effort: in order and at most once for each peer (a proposal that came twice would be applied
   * twice). Never waits, drops what does not fit.
   */
  send(messages: readonly Message[]): void;
  /** Streams a snapshot without holding up other messages. Rejects when the peer does not confirm it. */
  sendSnapshot(message: Message, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** Asks a peer. Rejects when there is no answer within `timeoutMs`. */
  request(to: MemberId, body: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /** Milliseconds since the peer was last heard from, or undefined when it is not connected. */
  connectedForMs(id: MemberId): number | undefined;
  stop(): Promise<void>;
}
