import { UnitManagerUnavailableError } from "@keelson/unit";
import { Message, type MessageBus, MessageType, sessionBus } from "dbus-next";
import { portError } from "./errors.ts";

/** A call waits so long for its reply; a daemon-reload of a large system takes seconds. */
const CALL_TIMEOUT_MS = 60_000;
/** Connecting and saying hello. */
const CONNECT_TIMEOUT_MS = 5_000;

/** A method call. */
export interface BusCall {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly body?: readonly unknown[];
}

/** A signal as received. */
export interface BusSignal {
  readonly sender: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly body: readonly unknown[];
}

/**
 * One connection to a message bus, from hello to its end. The only file that knows dbus-next: raw messages, no
 * introspection, so that another library can take its place.
 */
export class BusConnection {
  readonly #bus: MessageBus;
  readonly #ended = Promise.withResolvers<never>();
  #isOpen = true;

  private constructor(bus: MessageBus) {
    this.#bus = bus;
    this.#ended.promise.catch(() => {}); // nobody may be waiting
  }

  /**
   * Connects to `address`, such as `unix:path=/run/dbus/system_bus_socket`.
   *
   * @throws UnitManagerUnavailableError
   */
  static async open(address: string, onSignal: (signal: BusSignal) => void): Promise<BusConnection> {
    const bus = sessionBus({ busAddress: address });
    const connection = new BusConnection(bus);
    bus.on("error", (cause: unknown) => connection.#end(`the connection to the bus at ${address} failed`, cause));
    bus.on("message", (message) => {
      if (message.type === MessageType.SIGNAL) onSignal(message);
    });
    // dbus-next does not pass the end of the stream on.
    streamOf(bus)?.once("close", () => connection.#end(`the bus at ${address} closed the connection`));
    const hello = Promise.withResolvers<void>();
    bus.once("connect", hello.resolve);
    try {
      await connection.#bounded(hello.promise, CONNECT_TIMEOUT_MS, `connecting to the bus at ${address}`);
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Rejects when the connection ends. Never resolves. */
  get ended(): Promise<never> {
    return this.#ended.promise;
  }

  /** Calls a method and gives the reply's body. Errors are the port's, see {@link portError}. */
  async call<T extends readonly unknown[]>(call: BusCall, timeoutMs = CALL_TIMEOUT_MS): Promise<T> {
    const message = new Message({
      destination: call.destination,
      path: call.path,
      interface: call.interface,
      member: call.member,
      signature: call.signature ?? "",
      body: [...(call.body ?? [])],
    });
    const what = `${call.member}(${JSON.stringify(call.body?.[0] ?? "").slice(0, 200)})`;
    try {
      if (!this.#isOpen) await this.#ended.promise;
      const reply = await this.#bounded(this.#bus.call(message), timeoutMs, what);
      return (reply?.body ?? []) as unknown as T;
    } catch (error) {
      throw portError(what, error);
    }
  }

  /** Asks the bus for signals. */
  async addMatch(rule: string): Promise<void> {
    const bus = "org.freedesktop.DBus";
    await this.call({
      destination: bus,
      path: "/org/freedesktop/DBus",
      interface: bus,
      member: "AddMatch",
      signature: "s",
      body: [rule],
    });
  }

  /** Ends the connection. Calls under way reject. */
  close(): void {
    this.#end("the connection to the bus was closed");
  }

  #end(problem: string, cause?: unknown): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#ended.reject(new UnitManagerUnavailableError(problem, {}, cause === undefined ? undefined : { cause }));
    streamOf(this.#bus)?.destroy();
  }

  /** dbus-next never answers a call whose connection broke. */
  async #bounded<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
    promise.catch(() => {}); // it may lose the race and fail later
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new UnitManagerUnavailableError(`${what} got no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    try {
      return await Promise.race([promise, this.#ended.promise, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The socket under a connection, which dbus-next keeps to itself. */
function streamOf(bus: MessageBus): { once(event: "close", fn: () => void): unknown; destroy(): unknown } | undefined {
  return (bus as unknown as { _connection?: { stream?: ReturnType<typeof streamOf> } })._connection?.stream;
}
