import { once } from "node:events";
import { chmodSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { type Logger, silentLogger } from "@keelson/types";
import { type UnitManager, UnitManagerUnavailableError } from "@keelson/unit";
import { readLines, writeMessage } from "./lines.ts";
import { encodeError, MESSAGE_LENGTH_MAX, parseRequest, type Reply, type Request } from "./protocol.ts";

/** Requests that one client may have open. */
const REQUESTS_MAX = 1024;
/** Bytes that may wait for a client that does not read; then it is cut off. */
const BACKLOG_BYTES_MAX = 32 * 1024 * 1024;

/** A served unit manager. Disposing it closes the socket and leaves the manager, and its units, alone. */
export interface UnitManagerServer extends AsyncDisposable {
  readonly socketPath: string;
}

/**
 * Serves a unit manager on a Unix socket that only this user can open, so that it can outlive its clients: they may come
 * and go without touching a unit. JSON lines; see protocol.ts.
 *
 * @throws UnitManagerUnavailableError when another process serves on the socket already
 */
export async function serveUnitManager(
  manager: UnitManager,
  socketPath: string,
  options: { readonly logger?: Logger } = {},
): Promise<UnitManagerServer> {
  const log = options.logger ?? silentLogger;
  await removeStaleSocket(socketPath);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    new ClientSession(manager, socket, log);
  });
  await listen(server, socketPath);
  return {
    socketPath,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}

async function listen(server: Server, socketPath: string): Promise<void> {
  // The socket must never be open to others, not even for the moment before chmod.
  const mask = process.umask(0o177);
  try {
    server.listen(socketPath);
  } finally {
    process.umask(mask);
  }
  try {
    await once(server, "listening");
  } catch (cause) {
    throw new UnitManagerUnavailableError(`cannot listen on ${socketPath}`, { socketPath }, { cause });
  }
  chmodSync(socketPath, 0o600);
}

/** A socket file whose server was killed refuses connections: only then is it in the way. */
async function removeStaleSocket(socketPath: string): Promise<void> {
  const socket = createConnection(socketPath);
  try {
    await once(socket, "connect");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ECONNREFUSED") rmSync(socketPath, { force: true });
    return;
  } finally {
    socket.destroy();
  }
  throw new UnitManagerUnavailableError(`another process serves on ${socketPath}; stop it first`, { socketPath });
}

/** One connection. */
class ClientSession {
  readonly #manager: UnitManager;
  readonly #socket: Socket;
  readonly #log: Logger;
  readonly #open = new Map<number, AbortController>();
  #subscription: Disposable | undefined;

  constructor(manager: UnitManager, socket: Socket, log: Logger) {
    this.#manager = manager;
    this.#socket = socket;
    this.#log = log;
    readLines(socket, MESSAGE_LENGTH_MAX, (line) => this.#onLine(line));
    socket.on("error", (error) => log.debug("a client of the unit manager failed", { error }));
    socket.on("close", () => {
      this.#subscription?.[Symbol.dispose]();
      for (const controller of this.#open.values()) controller.abort();
    });
  }

  #onLine(line: string): void {
    const request = parseRequest(line);
    if (request === undefined) {
      this.#log.debug("a client of the unit manager sent nonsense", { line: line.slice(0, 200) });
      this.#socket.destroy();
      return;
    }
    if (request.method === "cancel") return this.#open.get(request.id)?.abort();
    if (this.#open.size >= REQUESTS_MAX || this.#open.has(request.id)) return void this.#socket.destroy();
    const controller = new AbortController();
    this.#open.set(request.id, controller);
    void this.#answer(request, controller.signal).finally(() => this.#open.delete(request.id));
  }

  async #answer(request: Exclude<Request, { method: "cancel" }>, signal: AbortSignal): Promise<void> {
    try {
      const result = await this.#call(request, signal);
      this.#send({ id: request.id, result: result ?? null });
    } catch (error) {
      this.#send({ id: request.id, error: encodeError(error) });
    }
  }

  async #call(request: Request, signal: AbortSignal): Promise<unknown> {
    switch (request.method) {
      case "load":
        return await this.#manager.load(request.units);
      case "unload":
        return await this.#manager.unload(request.names);
      case "start":
        return await this.#manager.start(request.name, { signal });
      case "stop":
        return await this.#manager.stop(request.name, { signal });
      case "list":
        return await this.#manager.list();
      case "content":
        return await this.#manager.content(request.name);
      case "status":
        return await this.#manager.status(request.name);
      case "subscribe":
        this.#subscription ??= this.#manager.subscribe((status) => this.#send({ status }));
        return undefined;
      case "journal":
        return await this.#journal(request, signal);
      case "cancel":
        return undefined;
    }
  }

  async #journal(request: Request & { method: "journal" }, signal: AbortSignal): Promise<void> {
    const { id, name, lines, follow } = request;
    for await (const line of this.#manager.journal(name, { lines, follow, signal })) {
      // The journal waits for its reader; statuses and answers do not.
      if (!this.#send({ id, line })) await once(this.#socket, "drain", { signal });
    }
  }

  #send(reply: Reply): boolean {
    if (this.#socket.writableLength > BACKLOG_BYTES_MAX) {
      this.#log.debug("a client of the unit manager does not read and was cut off");
      this.#socket.destroy();
    }
    return writeMessage(this.#socket, reply);
  }
}
