import type { Socket } from "node:net";
import { StringDecoder } from "node:string_decoder";

/** Calls `onLine` for each line of a socket; a line longer than `lengthMax` ends the connection. */
export function readLines(socket: Socket, lengthMax: number, onLine: (line: string) => void): void {
  const decoder = new StringDecoder("utf8");
  let parts: string[] = [];
  let length = 0;
  socket.on("data", (chunk: Buffer) => {
    let text = decoder.write(chunk);
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n")) {
      const line = parts.join("") + text.slice(0, end);
      parts = [];
      length = 0;
      text = text.slice(end + 1);
      onLine(line);
    }
    if (text === "") return;
    parts.push(text);
    length += text.length;
    if (length > lengthMax) socket.destroy(new Error(`a message is longer than ${lengthMax} characters`));
  });
}

/** Writes one message; false when the peer reads too slowly and the writer should wait for "drain". */
export function writeMessage(socket: Socket, message: unknown): boolean {
  if (socket.destroyed || !socket.writable) return true;
  return socket.write(`${JSON.stringify(message)}\n`);
}
