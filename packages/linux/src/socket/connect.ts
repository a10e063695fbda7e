import { createConnection, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type Logger, silentLogger } from "@keelson/types";
import {
  type JobOptions,
  type JobResult,
  type JournalOptions,
  type UnitFile,
  type UnitManager,
  UnitManagerUnavailableError,
  type UnitStatus,
} from "@keelson/unit";
import { readLines, writeMessage } from "./lines.ts";
import { decodeError, MESSAGE_LENGTH_MAX, parseObject, type Request, type WireError } from "./protocol.ts";

/** Options of {@link connectUnitManager}. */
export interface ConnectOptions {
  /** How long a call waits for the server to be there before it fails. Default 5 s. */
  readonly connectTimeoutMs?: number;
  readonly logger?: Logger;
}

const RETRY_FIRST_MS = 20;
const RETRY_MS_MAX = 1000;
/** Lines of one journal that may wait for their reader. */
const JOURNAL_BACKLOG_MAX = 10_000;

/** A request without its id; distributes over the union. */
type Call = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never;

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
  onLine?(line: string): void;
}

/**
 * A unit manager behind a socket of `serveUnitManager`. Connects when first used and again after a lost
 * connection; subscribers then get the status of every unit, since changes may have been missed. A call that was
 * under way when the connection broke rejects with UnitManagerUnavailableError: whether it was carried out is unknown.
 */
export function connectUnitManager(socketPath: string, options: ConnectOptions = {}): UnitManager {
  return new SocketUnitManager(socketPath, options);
}

class SocketUnitManager implements UnitManager {
  readonly #path: string;
  readonly #connectTimeoutMs: number;
  readonly #log: Logger;
  readonly #pending = new Map<number, Pending>();
  readonly #subscribers = new Set<(status: UnitStatus) => void>();
  readonly #closed = new AbortController();
  #connecting: Promise<Socket> | undefined;
  #socket: Socket | undefined;
  #wasConnected = false;
  #lastId = 0;

  constructor(path: string, options: ConnectOptions) {
    this.#path = path;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 5000;
    this.#log = options.logger ?? silentLogger;
  }

  async load(units: readonly UnitFile[]): Promise<void> {
    await this.#call({ method: "load", units: units.map(({ name, content }) => ({ name, content })) });
  }

  async unload(names: readonly string[]): Promise<void> {
    await this.#call({ method: "unload", names });
  }

  async start(name: string, options: JobOptions = {}): Promise<JobResult> {
    return (await this.#call({ method: "start", name }, options.signal)) as JobResult;
  }

  async stop(name: string, options: JobOptions = {}): Promise<JobResult> {
    return (await this.#call({ method: "stop", name }, options.signal)) as JobResult;
  }

  async list(): Promise<UnitStatus[]> {
    return (await this.#call({ method: "list" })) as UnitStatus[];
  }

  async content(name: string): Promise<string | undefined> {
    return ((await this.#call({ method: "content", name })) as string | null) ?? undefined;
  }

  async status(name: string): Promise<UnitStatus> {
    return (await this.#call({ method: "status", name })) as UnitStatus;
  }

  subscribe(fn: (status: UnitStatus) => void): Disposable {
    this.#subscribers.add(fn);
    void this.#keepConnected();
    return { [Symbol.dispose]: () => void this.#subscribers.delete(fn) };
  }

  async *journal(name: string, options: JournalOptions): AsyncIterable<string> {
    const { lines, follow = false, signal } = options;
    const waiting: string[] = [];
    let wake = Promise.withResolvers<void>();
    let outcome: { error?: unknown } | undefined;
    const stop = new AbortController();
    const either = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]);
    const onLine = (line: string) => {
      if (waiting.length < JOURNAL_BACKLOG_MAX) waiting.push(line);
      wake.resolve();
    };
    const finish = (result: { error?: unknown }) => {
      outcome = result;
      wake.resolve();
    };
    this.#call({ method: "journal", name, lines, follow }, either, onLine).then(
      () => finish({}),
      (error: unknown) => finish(either.aborted ? {} : { error }),
    );
    try {
      for (;;) {
        for (let line = waiting.shift(); line !== undefined; line = waiting.shift()) yield line;
        if (outcome !== undefined) break;
        await wake.promise;
        wake = Promise.withResolvers<void>();
      }
      if (outcome.error !== undefined) throw outcome.error;
    } finally {
      stop.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#subscribers.clear();
    this.#socket?.destroy();
    this.#failAll();
  }

  async #call(call: Call, signal?: AbortSignal, onLine?: (line: string) => void): Promise<unknown> {
    signal?.throwIfAborted();
    const socket = await this.#connected(signal);
    return await this.#callOn(socket, call, signal, onLine);
  }

  async #callOn(socket: Socket, call: Call, signal?: AbortSignal, onLine?: (line: string) => void): Promise<unknown> {
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject, ...(onLine === undefined ? {} : { onLine }) });
    writeMessage(socket, { id, ...call });
    const abort = () => {
      if (!this.#pending.delete(id)) return;
      writeMessage(socket, { id, method: "cancel" });
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await promise;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** The connection, waiting for one within the limit. */
  async #connected(signal: AbortSignal | undefined): Promise<Socket> {
    if (this.#closed.signal.aborted)
      throw new UnitManagerUnavailableError("the connection to the unit manager was closed");
    const deadline = performance.now() + this.#connectTimeoutMs;
    for (let waitMs = RETRY_FIRST_MS; ; waitMs = Math.min(waitMs * 2, RETRY_MS_MAX)) {
      try {
        return await this.#connect();
      } catch (cause) {
        if (this.#closed.signal.aborted || performance.now() + waitMs > deadline) {
          throw new UnitManagerUnavailableError(
            `cannot reach the unit manager at ${this.#path}`,
            { socketPath: this.#path },
            { cause },
          );
        }
      }
      await delay(waitMs, undefined, { signal: signal ?? this.#closed.signal });
    }
  }

  #connect(): Promise<Socket> {
    if (this.#socket !== undefined) return Promise.resolve(this.#socket);
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #open(): Promise<Socket> {
    const socket = createConnection(this.#path);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once("connect", resolve);
    socket.once("error", reject);
    await promise;
    if (this.#closed.signal.aborted) {
      socket.destroy();
      throw new UnitManagerUnavailableError("the connection to the unit manager was closed");
    }
    socket.on("error", (error) => this.#log.debug("the connection to the unit manager failed", { error }));
    socket.on("close", () => this.#onClose());
    readLines(socket, MESSAGE_LENGTH_MAX, (line) => this.#onLine(line));
    this.#socket = socket;
    if (this.#subscribers.size > 0) await this.#resubscribe(socket);
    this.#wasConnected = true;
    return socket;
  }

  async #resubscribe(socket: Socket): Promise<void> {
    await this.#callOn(socket, { method: "subscribe" });
    if (!this.#wasConnected) return;
    for (const status of (await this.#callOn(socket, { method: "list" })) as UnitStatus[]) this.#publish(status);
  }

  /** Subscribers need a connection although nobody calls. */
  async #keepConnected(): Promise<void> {
    for (
      let waitMs = RETRY_FIRST_MS;
      this.#subscribers.size > 0 && !this.#closed.signal.aborted;
      waitMs = Math.min(waitMs * 2, RETRY_MS_MAX)
    ) {
      try {
        await this.#callOn(await this.#connect(), { method: "subscribe" });
        return;
      } catch (error) {
        this.#log.debug("no connection to the unit manager", { error });
      }
      await delay(waitMs, undefined, { signal: this.#closed.signal }).catch(() => {});
    }
  }

  #onClose(): void {
    this.#socket = undefined;
    this.#failAll();
    if (!this.#closed.signal.aborted) void this.#keepConnected();
  }

  #failAll(): void {
    for (const pending of this.#pending.values()) {
      pending.reject(
        new UnitManagerUnavailableError("the connection to the unit manager was lost", { socketPath: this.#path }),
      );
    }
    this.#pending.clear();
  }

  #onLine(text: string): void {
    const reply = parseObject(text);
    if (reply === undefined) return void this.#socket?.destroy();
    if (reply["status"] !== undefined) return this.#publish(reply["status"] as UnitStatus);
    const id = Number(reply["id"]);
    const pending = this.#pending.get(id);
    if (pending === undefined) return; // canceled
    if (typeof reply["line"] === "string") return pending.onLine?.(reply["line"]);
    this.#pending.delete(id);
    if (reply["error"] === undefined) pending.resolve(reply["result"]);
    else pending.reject(decodeError(reply["error"] as WireError));
  }

  #publish(status: UnitStatus): void {
    for (const subscriber of this.#subscribers) subscriber(status);
  }
}
