import type { Socket } from "node:net";
import { rewriteAuthority } from "./hpack-authority.ts";

const PREFACE_BYTES = 24;
const FRAME_HEADER_BYTES = 9;
const TYPE = { headers: 1, priority: 2, settings: 4, windowUpdate: 8 } as const;
const FLAG = { ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;
const EMPTY_SETTINGS = Buffer.from([0, 0, 0, TYPE.settings, 0, 0, 0, 0, 0]);
/** A first request with its headers is far smaller; what is larger goes on as it is. */
const LOOK_BYTES_MAX = 64 * 1024;

/**
 * Lets clients in that call us by a whole URL. grpc-go before 1.30, which Debian's etcdctl 3.4 uses, sends
 * `:authority: http://127.0.0.1:2379` on some calls; nghttp2 refuses the slash and cannot be told not to. So the first
 * request's headers are looked at before nghttp2 sees the connection, and slashes in the authority become dashes (the same
 * length, which keeps both sides' header tables alike; later requests refer to the entry in the table).
 *
 * Most clients wait for the server's SETTINGS before they send a request: an empty frame is sent for that, and its
 * acknowledgement taken out again, since nghttp2 does not know of it. Expects a paused socket; `done` gets it paused, with
 * all bytes put back.
 */
export function admit(socket: Socket, done: () => void): void {
  let seen: Buffer = Buffer.alloc(0);
  let askedAt = -1;
  const finish = (bytes: Buffer) => {
    socket.pause();
    socket.off("data", onData);
    socket.off("error", onError);
    socket.unshift(bytes);
    done();
  };
  const onError = () => socket.destroy();
  const onData = (chunk: Buffer) => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const look = lookAt(seen, askedAt >= 0);
    if (look === "more" && seen.length < LOOK_BYTES_MAX) return;
    if (look === "ask") {
      askedAt = seen.length;
      socket.write(EMPTY_SETTINGS);
      return;
    }
    finish(typeof look === "string" ? seen : look);
  };
  socket.on("data", onData);
  socket.on("error", onError);
  socket.resume();
}

/** What is to be done next, or the bytes to go on with. */
function lookAt(seen: Buffer, asked: boolean): Buffer | "more" | "ask" {
  const parts: Buffer[] = [seen.subarray(0, PREFACE_BYTES)];
  let at = PREFACE_BYTES;
  let greeted = false;
  let acknowledged = !asked;
  let request = false;
  while (at + FRAME_HEADER_BYTES <= seen.length) {
    const end = at + FRAME_HEADER_BYTES + seen.readUIntBE(at, 3);
    if (end > seen.length) break;
    const frame = seen.subarray(at, end);
    const [type, flags] = [frame[3] as number, frame[4] as number];
    at = end;
    if (type === TYPE.settings && (flags & FLAG.ack) !== 0 && !acknowledged) {
      acknowledged = true; // ours; not to be passed on
      continue;
    }
    parts.push(type === TYPE.headers && !request ? withAuthority(frame) : frame);
    if (type === TYPE.settings) greeted = true;
    else if (type !== TYPE.windowUpdate && type !== TYPE.priority) request = true;
  }
  if (request && acknowledged) return Buffer.concat([...parts, seen.subarray(at)]);
  return greeted && !asked && at === seen.length ? "ask" : "more";
}

/** A HEADERS frame, its authority without slashes. */
function withAuthority(frame: Buffer): Buffer {
  const flags = frame[4] as number;
  if ((flags & FLAG.endHeaders) === 0) return frame;
  let from = FRAME_HEADER_BYTES;
  let to = frame.length;
  if ((flags & FLAG.padded) !== 0) to -= frame[from++] ?? 0;
  if ((flags & FLAG.priority) !== 0) from += 5;
  if (from > to) return frame;
  const block = rewriteAuthority(frame.subarray(from, to), (authority) => authority.replaceAll("/", "-"));
  if (block === undefined) return frame;
  const out = Buffer.concat([frame.subarray(0, from), block, frame.subarray(to)]);
  out.writeUIntBE(out.length - FRAME_HEADER_BYTES, 0, 3);
  return out;
}
