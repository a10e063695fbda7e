import { type ClientRequest, request } from "node:http";
import type { Socket } from "node:net";
import { type ClusterId, CoreError, hexId, type MemberId } from "@keelson/types";

/** A peer could not be reached, or refused to talk. */
export class PeerDialError extends CoreError<"ERR_ETCD_PEER_DIAL"> {
  readonly code = "ERR_ETCD_PEER_DIAL";
}

/** Who talks to whom, in each handshake. */
export interface PeerIds {
  readonly clusterId: ClusterId;
  readonly from: MemberId;
  readonly to: MemberId;
}

/** What a connection is for. A snapshot has its own, so that heartbeats never wait behind it. */
export type StreamKind = "messages" | "snapshot";

export const STREAM_PATH = "/raft/stream";
export const STREAM_PROTOCOL = "keelson-raft/1";
const DIAL_TIMEOUT_MS = 2_000;

/**
 * Opens a connection to a peer: an HTTP/1.1 Upgrade whose headers say who calls whom, so that a proxy in between can tell.
 * @throws PeerDialError
 */
export function dial(url: string, ids: PeerIds, kind: StreamKind): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const { hostname, port } = new URL(url);
  const req = request({
    host: hostname.replace(/^\[|\]$/g, ""),
    port,
    path: STREAM_PATH,
    agent: false,
    headers: {
      Connection: "Upgrade",
      Upgrade: STREAM_PROTOCOL,
      "X-Server-From": hexId(ids.from),
      "X-Raft-To": hexId(ids.to),
      "X-Etcd-Cluster-ID": hexId(ids.clusterId),
      "X-Stream-Kind": kind,
    },
  });
  const timer = setTimeout(() => req.destroy(new Error(`no answer within ${DIAL_TIMEOUT_MS} ms`)), DIAL_TIMEOUT_MS);
  timer.unref();
  const done = () => clearTimeout(timer);
  req.on("upgrade", (_res, socket: Socket, head) => {
    done();
    socket.setNoDelay(true);
    if (head.length > 0) socket.unshift(head);
    resolve(socket);
  });
  req.on("response", (res) => {
    done();
    res.resume();
    reject(
      new PeerDialError(`${url} refused the connection: ${res.statusCode} ${String(res.headers["x-reason"] ?? "")}`, {
        url,
      }),
    );
    (req as ClientRequest).destroy();
  });
  req.on("error", (cause) => {
    done();
    reject(new PeerDialError(`cannot reach the peer at ${url}`, { url }, { cause }));
  });
  req.end();
  return promise;
}
