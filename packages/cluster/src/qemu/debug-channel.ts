import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { MachineStateError } from "../errors.ts";
import type { ExecResult } from "../port.ts";
import { waitFor } from "../wait.ts";

/** Ample for a host with no CPU to spare; a QEMU that ended is noticed at once. */
const CONNECT_TIMEOUT_MS = 120_000;
/** Time beyond the command's own limit that its answer may take under emulation. */
const ANSWER_GRACE_MS = 30_000;
/** timeout(1) of coreutils ended the command. */
const EXIT_TIMEOUT = 124;

/** One command for the script `debug-channel` of the image: id, seconds, script. Pure. */
export function encodeCommand(id: number, timeoutMs: number, command: string): string {
  return `${id} ${Math.max(1, Math.ceil(timeoutMs / 1000))} ${Buffer.from(command).toString("base64")}\n`;
}

/** Its answer, or undefined for a line that is none. Pure. */
export function decodeAnswer(line: string): { id: string; result: ExecResult } | undefined {
  const [id, code, stdout, stderr] = line.trim().split(" ");
  if (id === undefined || code === undefined || !/^\d+$/.test(code)) return undefined;
  const text = (part: string | undefined) =>
    part === undefined || part === "-" ? "" : Buffer.from(part, "base64").toString();
  return { id, result: { exitCode: Number(code), stdout: text(stdout), stderr: text(stderr) } };
}

/**
 * The host's end of the virtio port on which a test VM takes commands; one at a time. It lives as long as its QEMU: a guest
 * that is reset says that it is ready again, and what it had not answered by then fails.
 */
export class DebugChannel implements Disposable {
  readonly #socket: Socket;
  readonly #onReady: () => void;
  readonly #waiting = new Map<string, (result: ExecResult | undefined) => void>();
  #ready = new Ready();
  #queue: Promise<unknown> = Promise.resolve();
  #nextId = 1;
  #rest = "";

  private constructor(socket: Socket, onReady: () => void) {
    this.#socket = socket;
    this.#onReady = onReady;
    socket.setEncoding("utf8").on("data", (chunk) => this.#onData(String(chunk)));
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      this.#ready.reject(new MachineStateError("the machine ended before it took commands"));
      this.#forget();
    });
  }

  /** Connects once QEMU listens. `onReady` is called each time the guest begins to take commands. */
  static async connect(path: string, onReady: () => void, signal?: AbortSignal): Promise<DebugChannel> {
    const socket = await waitFor("the debug channel", () => open(path), { timeoutMs: CONNECT_TIMEOUT_MS, signal });
    return new DebugChannel(socket, onReady);
  }

  /** The guest was reset: it takes no commands until it says so again. */
  reset(): void {
    this.#forget();
    if (this.#ready.isReady) this.#ready = new Ready();
  }

  /** Runs `sh -c` on the machine. @throws MachineStateError when it takes too long or the machine ends meanwhile */
  exec(command: string, timeoutMs: number): Promise<ExecResult> {
    const next = this.#queue.then(() => this.#exec(command, timeoutMs));
    this.#queue = next.catch(() => {});
    return next;
  }

  async #exec(command: string, timeoutMs: number): Promise<ExecResult> {
    const { promise, resolve } = Promise.withResolvers<ExecResult | undefined>();
    const timer = setTimeout(() => resolve(undefined), timeoutMs + ANSWER_GRACE_MS);
    const id = String(this.#nextId++);
    try {
      await Promise.race([this.#ready.promise, promise]);
      this.#waiting.set(id, resolve);
      if (this.#socket.destroyed || !this.#ready.isReady) resolve(undefined);
      else this.#socket.write(encodeCommand(Number(id), timeoutMs, command));
      const result = await promise;
      if (result === undefined) throw new MachineStateError(`the machine did not answer to: ${command}`);
      if (result.exitCode === EXIT_TIMEOUT) {
        throw new MachineStateError(`command did not end within ${timeoutMs / 1000} s: ${command}`);
      }
      return result;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  #onData(chunk: string): void {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const answer = decodeAnswer(line);
      if (answer?.id === "ready") {
        this.#forget();
        this.#ready.resolve();
        this.#onReady();
      } else if (answer !== undefined) {
        this.#waiting.get(answer.id)?.(answer.result);
      }
    }
  }

  /** Nobody will answer what was asked so far. */
  #forget(): void {
    for (const answer of this.#waiting.values()) answer(undefined);
    this.#waiting.clear();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** A promise that tells whether it has been fulfilled. */
class Ready {
  readonly promise: Promise<void>;
  readonly reject: (error: Error) => void;
  readonly #resolve: () => void;
  isReady = false;

  constructor() {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {});
    this.promise = promise;
    this.reject = reject;
    this.#resolve = resolve;
  }

  resolve(): void {
    this.isReady = true;
    this.#resolve();
  }
}

async function open(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, "connect");
  return socket;
}
