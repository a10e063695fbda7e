import type { Socket } from "node:net";

// The first bytes of every HTTP/2 connection (RFC 9113 §3.4). Four are enough to tell it from any HTTP/1.1 method.
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
const ENOUGH = 4;

/**
 * Waits for the first bytes of a connection and says which protocol they start. The bytes are put back. A connection
 * that says nothing for `timeoutMs` is closed.
 */
export function sniff(socket: Socket, timeoutMs: number, decided: (protocol: "http1" | "http2") => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const onError = () => socket.destroy();
  const onClose = () => clearTimeout(timer);
  const onData = (chunk: Buffer) => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const length = Math.min(seen.length, ENOUGH);
    const http2 = seen.subarray(0, length).equals(PREFACE.subarray(0, length));
    if (http2 && length < ENOUGH) return;
    clearTimeout(timer);
    socket.pause();
    socket.off("data", onData);
    socket.off("error", onError);
    socket.off("close", onClose);
    socket.unshift(seen);
    decided(http2 ? "http2" : "http1");
  };
  socket.on("data", onData);
  socket.on("error", onError);
  socket.on("close", onClose);
}
