import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { encodeFrame, FrameReader } from "./frames.ts";
import { type LinkFaults, Switch } from "./switch.ts";

/** Bytes that may wait for a VM that does not read; frames beyond are lost, as on a wire. */
const QUEUE_BYTES_MAX = 4 << 20;

/** An Ethernet between VMs: one unix socket per machine, to which its QEMU connects (`-netdev stream`). */
export class Hub implements AsyncDisposable {
  readonly #switch: Switch;
  readonly #servers = new Map<string, { server: Server; path: string }>();
  readonly #sockets = new Map<string, Socket>();

  constructor(random: () => number = Math.random) {
    this.#switch = new Switch(random);
  }

  /** Listens for one machine's card. A machine that starts again connects anew. */
  async addPort(name: string, socketPath: string): Promise<void> {
    await rm(socketPath, { force: true });
    const server = createServer((socket) => this.#connect(name, socket));
    server.listen(socketPath);
    await once(server, "listening");
    this.#servers.set(name, { server, path: socketPath });
  }

  partition(groups: readonly (readonly string[])[]): void {
    this.#switch.partition(groups);
  }

  heal(): void {
    this.#switch.heal();
  }

  /** Delays or loses frames of one direction; `{}` ends it. */
  setFaults(from: string, to: string, faults: LinkFaults): void {
    this.#switch.setFaults(from, to, faults);
  }

  #connect(name: string, socket: Socket): void {
    this.#sockets.get(name)?.destroy();
    this.#sockets.set(name, socket);
    this.#switch.addPort(name);
    const reader = new FrameReader();
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      try {
        for (const frame of reader.push(chunk)) this.#forward(name, frame);
      } catch {
        socket.destroy(); // Not QEMU, or out of step: nothing that follows could be read.
      }
    });
    socket.once("close", () => {
      if (this.#sockets.get(name) !== socket) return;
      this.#sockets.delete(name);
      this.#switch.removePort(name);
    });
  }

  #forward(from: string, frame: Uint8Array): void {
    for (const { port, delayMs } of this.#switch.forward(from, frame)) {
      if (delayMs === 0) this.#send(port, frame);
      else setTimeout(() => this.#send(port, frame), delayMs).unref();
    }
  }

  #send(port: string, frame: Uint8Array): void {
    const socket = this.#sockets.get(port);
    if (socket !== undefined && socket.writableLength < QUEUE_BYTES_MAX) socket.write(encodeFrame(frame));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets.values()) socket.destroy();
    for (const { server, path } of this.#servers.values()) {
      await new Promise((resolve) => server.close(resolve));
      await rm(path, { force: true });
    }
  }
}
