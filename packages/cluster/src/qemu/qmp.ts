import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { ClusterError } from "../errors.ts";
import { waitFor } from "../wait.ts";

/** Ample for a host with no CPU to spare; a QEMU that ended is noticed at once. */
const CONNECT_TIMEOUT_MS = 120_000;
const COMMAND_TIMEOUT_MS = 60_000;

interface QmpMessage {
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly id?: number;
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** What QEMU tells unasked, such as `RESET` or `SHUTDOWN`, with its data. */
export type QmpEventHandler = (event: string, data: Readonly<Record<string, unknown>>) => void;

/** QEMU's machine protocol: one JSON object a line, commands answered in order, events in between. */
export class Qmp implements Disposable {
  /** Resolves when the connection is over and everything that came before was handled. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #onEvent: QmpEventHandler;
  readonly #waiting = new Map<number, (reply: QmpMessage) => void>();
  #nextId = 1;
  #rest = "";

  private constructor(socket: Socket, onEvent: QmpEventHandler) {
    this.#socket = socket;
    this.#onEvent = onEvent;
    socket.setEncoding("utf8").on("data", (chunk) => this.#onData(String(chunk)));
    socket.on("error", () => socket.destroy());
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        const gone = { error: { class: "Closed", desc: "QEMU has ended" } };
        for (const answer of this.#waiting.values()) answer(gone);
        this.#waiting.clear();
        resolve();
      });
    });
  }

  /** Connects once QEMU listens. */
  static async connect(path: string, onEvent: QmpEventHandler, signal?: AbortSignal): Promise<Qmp> {
    const socket = await waitFor("QEMU's control socket", () => open(path), { timeoutMs: CONNECT_TIMEOUT_MS, signal });
    const qmp = new Qmp(socket, onEvent);
    await qmp.execute("qmp_capabilities");
    return qmp;
  }

  /** Runs a command. @throws ClusterError with QEMU's own words */
  async execute(command: string, argumentsOf?: Readonly<Record<string, unknown>>): Promise<unknown> {
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<QmpMessage>();
    this.#waiting.set(id, resolve);
    if (this.#socket.destroyed) resolve({ error: { class: "Closed", desc: "QEMU has ended" } });
    else this.#socket.write(`${JSON.stringify({ execute: command, arguments: argumentsOf, id })}\n`);
    const timer = setTimeout(
      () => resolve({ error: { class: "Timeout", desc: `no answer within ${COMMAND_TIMEOUT_MS / 1000} s` } }),
      COMMAND_TIMEOUT_MS,
    );
    const reply = await promise;
    clearTimeout(timer);
    this.#waiting.delete(id);
    if (reply.error !== undefined) throw new ClusterError(`QEMU refused ${command}: ${reply.error.desc}`);
    return reply.return;
  }

  #onData(chunk: string): void {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const message = JSON.parse(line) as QmpMessage;
      if (message.event !== undefined) this.#onEvent(message.event, message.data ?? {});
      else if (message.id !== undefined) this.#waiting.get(message.id)?.(message);
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

async function open(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, "connect");
  return socket;
}
