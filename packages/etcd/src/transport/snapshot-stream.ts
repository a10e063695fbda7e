import { once } from "node:events";
import type { Socket } from "node:net";
import { decodeMessage, encodeMessage, type Message } from "@keelson/raft";
import { dial, type PeerIds } from "./dial.ts";
import { encodeFrame, FRAME, type Frame, FrameError, FrameReader } from "./frames.ts";

/** A stream in which nothing moves for this long is given up. */
const IDLE_MS = 30_000;

/** Sends a snapshot over a connection of its own and waits until the peer has taken it. Rejects when it has not. */
export async function sendSnapshotTo(
  url: string,
  ids: PeerIds,
  message: Message,
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> {
  const socket = await dial(url, ids, "snapshot");
  socket.setTimeout(IDLE_MS, () => socket.destroy(new FrameError("the snapshot stream stands still")));
  const answer = firstFrame(socket);
  answer.catch(() => undefined); // looked at below
  try {
    socket.write(encodeFrame(FRAME.snapshotHead, encodeMessage(message)));
    for await (const chunk of chunks) {
      if (socket.destroyed) break;
      // Take the next part of the state only when the peer has room for it.
      if (!socket.write(encodeFrame(FRAME.snapshotChunk, chunk)))
        await Promise.race([once(socket, "drain"), once(socket, "close")]);
    }
    socket.write(encodeFrame(FRAME.snapshotEnd));
    const { kind, body } = await answer;
    if (kind !== FRAME.snapshotDone) throw new FrameError(`the peer refused the snapshot: ${body.toString("utf8")}`);
  } finally {
    socket.destroy();
  }
}

async function firstFrame(socket: Socket): Promise<Frame> {
  for await (const frame of framesOf(socket)) return frame;
  throw new FrameError("the peer closed the connection before it confirmed the snapshot");
}

/** Takes a snapshot from a connection, hands it over, and tells the sender how that went. Never rejects. */
export async function receiveSnapshotFrom(
  socket: Socket,
  take: (message: Message, chunks: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  const frames = framesOf(socket);
  try {
    const head = await frames.next();
    if (head.done === true || head.value.kind !== FRAME.snapshotHead) throw new FrameError("no snapshot follows");
    await take(decodeMessage(head.value.body), chunksOf(frames));
    socket.end(encodeFrame(FRAME.snapshotDone));
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (!socket.destroyed) socket.end(encodeFrame(FRAME.snapshotFailed, Buffer.from(text, "utf8")));
  }
}

async function* chunksOf(frames: AsyncIterable<Frame>): AsyncGenerator<Uint8Array> {
  for await (const { kind, body } of frames) {
    if (kind === FRAME.snapshotEnd) return;
    if (kind !== FRAME.snapshotChunk) throw new FrameError(`unexpected frame ${kind} in a snapshot`);
    yield body;
  }
  throw new FrameError("the snapshot stream broke off");
}

/** Frames as they are taken: what is not taken stays in the socket. Does not close the socket. */
async function* framesOf(socket: Socket): AsyncGenerator<Frame> {
  const reader = new FrameReader();
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)
    yield* reader.push(chunk);
}
