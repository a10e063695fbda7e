import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import {
  COMMAND_FLAG_FUA,
  COMMANDS,
  ERRORS,
  encodeExport,
  encodeExportInfo,
  encodeGreeting,
  encodeOptionReply,
  encodeReply,
  type NbdOption,
  type NbdRequest,
  OPTION_REPLIES,
  OPTIONS,
  PAYLOAD_BYTES_MAX,
  takeOption,
  takeRequest,
} from "./nbd-protocol.ts";

/** A disk that an NBD server serves. Writes last from the next flush on. */
export interface ServedDisk {
  readonly sizeBytes: number;
  read(offset: number, length: number): Uint8Array;
  write(offset: number, data: Uint8Array): void;
  flush(): void;
}

/** Serves one disk to one client at a time on a unix socket. Requests are answered in the order they come. */
export class NbdServer implements AsyncDisposable {
  readonly #disk: ServedDisk;
  readonly #server: Server;
  readonly #path: string;
  #client: Socket | undefined;
  #idle: Promise<unknown> = Promise.resolve();

  private constructor(disk: ServedDisk, path: string) {
    this.#disk = disk;
    this.#path = path;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async listen(disk: ServedDisk, path: string): Promise<NbdServer> {
    await rm(path, { force: true });
    const server = new NbdServer(disk, path);
    server.#server.listen(path);
    await once(server.#server, "listening");
    return server;
  }

  /** Resolves when no client is connected, so that all it sent was taken. */
  async idle(): Promise<void> {
    await this.#idle;
  }

  #serve(socket: Socket): void {
    this.#client?.destroy();
    this.#client = socket;
    this.#idle = new Promise((resolve) => socket.once("close", resolve));
    const session = new Session(this.#disk, (data) => void socket.write(data));
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      try {
        if (!session.push(chunk)) socket.end();
      } catch {
        socket.destroy(); // Not NBD, or the disk's file failed: QEMU reports an I/O error to the guest.
      }
    });
    socket.write(encodeGreeting());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client?.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#path, { force: true });
  }
}

const CLIENT_FLAGS_BYTES = 4;

/** One client's bytes in, answers out. */
class Session {
  readonly #disk: ServedDisk;
  readonly #send: (data: Uint8Array) => void;
  #state: "flags" | "options" | "requests" = "flags";
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Bytes that the next message needs at least; so that chunks of a large write are joined once. */
  #wanted = 1;

  constructor(disk: ServedDisk, send: (data: Uint8Array) => void) {
    this.#disk = disk;
    this.#send = send;
  }

  /** Takes bytes. False: the client wants no more. @throws RangeError for what is not NBD */
  push(chunk: Buffer): boolean {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#wanted) return true;
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    let isOpen = true;
    while (isOpen) {
      const taken = this.#take(rest);
      if (taken === undefined) break;
      isOpen = taken.isOpen;
      rest = rest.subarray(taken.size);
    }
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
    this.#wanted = this.#state === "requests" ? wantedBytes(rest) : 1;
    return isOpen;
  }

  #take(bytes: Buffer): { size: number; isOpen: boolean } | undefined {
    switch (this.#state) {
      case "flags":
        if (bytes.length < CLIENT_FLAGS_BYTES) return undefined;
        this.#state = "options";
        return { size: CLIENT_FLAGS_BYTES, isOpen: true };
      case "options": {
        const taken = takeOption(bytes);
        return taken && { size: taken.size, isOpen: this.#option(taken.value) };
      }
      case "requests": {
        const taken = takeRequest(bytes);
        return taken && { size: taken.size, isOpen: this.#request(taken.value) };
      }
    }
  }

  #option({ option }: NbdOption): boolean {
    const { sizeBytes } = this.#disk;
    switch (option) {
      case OPTIONS.exportName:
        this.#send(encodeExport(sizeBytes));
        this.#state = "requests";
        return true;
      case OPTIONS.info:
      case OPTIONS.go:
        this.#send(encodeOptionReply(option, OPTION_REPLIES.info, encodeExportInfo(sizeBytes)));
        this.#send(encodeOptionReply(option, OPTION_REPLIES.ack));
        if (option === OPTIONS.go) this.#state = "requests";
        return true;
      case OPTIONS.abort:
        this.#send(encodeOptionReply(option, OPTION_REPLIES.ack));
        return false;
      default:
        this.#send(encodeOptionReply(option, OPTION_REPLIES.unsupported));
        return true;
    }
  }

  #request(request: NbdRequest): boolean {
    const { command, cookie, offset, length } = request;
    if (command === COMMANDS.disconnect) return false;
    if (command !== COMMANDS.flush && (offset + length > this.#disk.sizeBytes || length > PAYLOAD_BYTES_MAX)) {
      this.#send(encodeReply(cookie, ERRORS.invalid));
      return true;
    }
    switch (command) {
      case COMMANDS.read:
        this.#send(encodeReply(cookie, ERRORS.none, this.#disk.read(offset, length)));
        return true;
      case COMMANDS.write:
        // The bytes are a view of what was received, which nothing else changes.
        this.#write(request, request.data);
        return true;
      case COMMANDS.writeZeroes:
        this.#write(request, new Uint8Array(length));
        return true;
      case COMMANDS.flush:
        this.#disk.flush();
        this.#send(encodeReply(cookie, ERRORS.none));
        return true;
      case COMMANDS.trim: // What was trimmed may read as anything; here as before.
        this.#send(encodeReply(cookie, ERRORS.none));
        return true;
      default:
        this.#send(encodeReply(cookie, ERRORS.invalid));
        return true;
    }
  }

  #write({ cookie, offset, flags }: NbdRequest, data: Uint8Array): void {
    this.#disk.write(offset, data);
    // To make all writes last is more than FUA asks for, which is allowed; QEMU's virtio-blk flushes instead.
    if ((flags & COMMAND_FLAG_FUA) !== 0) this.#disk.flush();
    this.#send(encodeReply(cookie, ERRORS.none));
  }
}

const REQUEST_BYTES = 28;

/** How many bytes there must be before the request at the front of `rest` can be whole. */
function wantedBytes(rest: Buffer): number {
  if (rest.length < REQUEST_BYTES) return REQUEST_BYTES;
  const isWrite = rest.readUInt16BE(6) === COMMANDS.write;
  return REQUEST_BYTES + (isWrite ? rest.readUInt32BE(24) : 0);
}
